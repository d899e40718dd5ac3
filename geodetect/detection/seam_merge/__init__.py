"""Merge of detections across tile seams."""
