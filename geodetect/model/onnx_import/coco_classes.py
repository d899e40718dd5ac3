"""Class names of COCO, which networks trained on it do not state.

Source: Lin et al. (2014), "Microsoft COCO"; https://cocodataset.org
"""

from __future__ import annotations

UNUSED_NUMBERS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # in 1 to 90, of its categories
OUTPUTS = 91  # of networks that keep these numbers

# fmt: off
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat",
    "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball",
    "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
    "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair",
    "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse",
    "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
NUMBERS = tuple(n for n in range(1, OUTPUTS) if n not in UNUSED_NUMBERS)
