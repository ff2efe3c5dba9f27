"""What a classifier is judged by: each figure, of one draw of the images or of many."""
