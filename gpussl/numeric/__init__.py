"""Array functions for any stage, written once over the array API."""
