"""One file per verb: parse, call, print. No logic."""
