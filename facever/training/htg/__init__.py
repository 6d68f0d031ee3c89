"""Adversarial hard-triplet generation (HTG): generator, discriminator and their losses."""
