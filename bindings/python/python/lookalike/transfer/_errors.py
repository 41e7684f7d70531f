"""What a user can put right."""


class TransferError(Exception):
    """Its message names the file and the place, and what would be right."""
