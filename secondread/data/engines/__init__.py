"""What does the work on many images: threads of this process, or Ray Data. Both give the same results in order."""
