"""One vector per identity: how prototypes are held, compared with a batch, and made into a loss."""
