"""The search for a ticket, as one object for any training loop."""
