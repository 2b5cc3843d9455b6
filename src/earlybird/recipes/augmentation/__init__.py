"""What happens to a training batch between the data and the network."""
