"""Speed and memory, measured and told, never asserted: `make bench`. Each figure comes with its inputs and its spread.

Ratios come from one run, A B A B …, in short rounds: a machine with other work slows both sides of a round alike.
"""
