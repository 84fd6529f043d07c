"""The `lbdemo` command: one module for each subcommand, imported when it is run."""
