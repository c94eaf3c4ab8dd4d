"""Pages of people about their own account, below /account/."""
