"""What is known of every dataset version and image, in one database that can be asked."""
