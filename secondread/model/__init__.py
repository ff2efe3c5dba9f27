"""The classifier, the folder it is kept in and the session that runs it."""
