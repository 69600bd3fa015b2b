"""Other libraries' calls, answered by femtosearch: their lines run with only the imports changed."""
