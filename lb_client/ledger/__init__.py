"""The ledger of a run: what the client recorded of each call, joined with what the replicas wrote down of each attempt.

labels.py names the calls, book.py keeps the client's side, journals.py holds the replicas', reconcile.py joins the two.
"""
