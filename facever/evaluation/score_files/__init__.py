"""Files of scores that other systems wrote: one format a file, `reading` is the front door."""
