"""The wire: the quick start's Greeter and the lab's own services, with the code generated from them (`make proto`)."""
