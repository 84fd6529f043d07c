"""The services of a replica that was given none, by their full names: one list for all tests that expect them."""

from __future__ import annotations

BUILT_IN = ["helloworld.Greeter", "lbdemo.v1.Chat", "lbdemo.v1.Conversation"]
