"""What every task needs: configuration, files, terminal and machine."""
