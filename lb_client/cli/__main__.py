"""`python -m lb_client.cli`: the same as `lbdemo`."""

from lb_client.cli import main

main()
