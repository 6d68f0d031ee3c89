"""What is seen of a training while it goes on: figures, alarms, waiting, profiles, pictures."""
