"""What makes and checks a release; nothing here is installed."""
