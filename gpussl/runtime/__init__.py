"""What every task runs on: configuration, files, the terminal, the machine."""
