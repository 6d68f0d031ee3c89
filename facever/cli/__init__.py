"""Commands of facever, one file per verb: parse, call, print. No logic."""
