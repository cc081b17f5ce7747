"""The command line; ``commands`` holds the group, one module per command holds the rest."""
