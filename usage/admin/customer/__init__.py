"""The page of a customer, for reading and acting; their settings are its second tab."""
