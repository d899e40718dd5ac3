"""Trainings and the accuracy of the models that they make."""
