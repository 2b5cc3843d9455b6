"""Text that goes on: a decoder on conversations, prompts with completions, or plain text."""
