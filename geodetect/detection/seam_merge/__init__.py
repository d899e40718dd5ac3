"""The merge of detections across tile seams."""
