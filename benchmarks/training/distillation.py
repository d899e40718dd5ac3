"""Training on the labels and on what another model detects in the same chips (Hinton et al. 2015).

``benchmarks.training.pools --head-convs 1 --teacher MODEL`` gives a model shorter heads. They learn
from the scores and boxes of the model with the longer ones, at every anchor and not just at those
of objects, so that little training makes them as good. ``--outline-channels 16 --teacher MODEL``
gives it an outline head with fewer channels, which learns from the masks of the other, and trains
nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import generalized_box_iou_loss

from benchmarks.training.cards import card_of_changed_weights
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.network.anchors_torch import decode
from geodetect.model.network.loading import load_network
from geodetect.model.network.retinanet import RetinaNet
from geodetect.model.runtimes.conversion import add_networks
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.training.anchors.assignment import Target, flatten_levels
from geodetect.training.learner import Learner
from geodetect.training.losses import BOX_WEIGHT, FOCAL_GAMMA

LABEL_WEIGHT = 0.5  # of the class and mask losses of labels, beside those of the teacher
TEACHER_BOX_WEIGHT = 0.5 * BOX_WEIGHT
NEW = ("classification.output.weight", "regression.output")  # of shortened heads
FEATURES, FIRST = "outline_features", "outline.tower.0.weight"
SMOOTH = f"{FEATURES}.smooth"
LEAST_SCORE = 0.2  # of the teacher, from which its box counts


def load_teacher(model: str) -> RetinaNet:
    """Return the network of a model, for its outputs alone."""
    card, arrays = read_model_file(model)
    teacher = load_network(card, network_parameters(arrays)).eval()
    return teacher.to(memory_format=torch.channels_last)


def student_of(model: str) -> type[Learner]:
    """Return the learner of a network that a model teaches, for trainings in one process."""
    teacher = load_teacher(model)

    class Student(Learner):
        """Network in training that learns from labels and from a teacher."""

        def detection_losses(
            self, images: Tensor, logits: Tensor, deltas: Tensor, targets: list[Target]
        ) -> tuple[Tensor, Tensor]:
            """See ``Learner``."""
            class_loss, box_loss = super().detection_losses(images, logits, deltas, targets)
            with torch.no_grad(), self.autocast():
                scores, boxes = (output.float() for output in teacher.to(self.device)(images))
            anchors = flatten_levels(self.levels)
            by_scores, by_boxes = distillation_losses(logits, deltas, scores, boxes, anchors)
            return LABEL_WEIGHT * class_loss + by_scores, box_loss + by_boxes

    return Student


def outline_student_of(model: str) -> type[Learner]:
    """Return the learner of an outline head that the one of a model teaches; the rest is frozen."""
    teacher = load_teacher(model)

    class OutlineStudent(Learner):
        """Network whose outline head learns from labels and from the masks of a teacher."""

        def detection_losses(
            self, images: Tensor, logits: Tensor, deltas: Tensor, targets: list[Target]
        ) -> tuple[Tensor, Tensor]:
            """See ``Learner``: nothing of these is trained."""
            return logits.new_zeros(()), logits.new_zeros(())

        def mask_loss(self, images: Tensor, features: Tensor, targets: list[Target]) -> Tensor:
            """See ``Learner``."""
            by_labels = super().mask_loss(images, features, targets)
            head = teacher.to(self.device).outline
            with torch.no_grad():
                _, _, of_teacher = teacher(images, with_outlines=True)
                masks = [
                    head(image[None], target.masks.boxes).float().sigmoid()
                    for image, target in zip(of_teacher, targets, strict=True)
                ]
            taught = [
                replace(target, masks=replace(target.masks, masks=drawn))
                for target, drawn in zip(targets, masks, strict=True)
            ]
            return LABEL_WEIGHT * by_labels + super().mask_loss(images, features, taught)

    return OutlineStudent


def distillation_losses(
    logits: Tensor, deltas: Tensor, teacher_logits: Tensor, teacher_deltas: Tensor, anchors: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses of scores and of boxes against those of a teacher.

    The first is the quality focal loss (Li et al. 2020, "Generalized Focal Loss"), per unit of the
    teacher's scores; the second is the GIoU loss of its boxes, weighted by their scores.

    Args:
        logits: ``float32[B, N, classes]``.
        deltas: ``float32[B, N, 4]``.
        teacher_logits: ``float32[B, N, classes]``.
        teacher_deltas: ``float32[B, N, 4]``.
        anchors: ``float32[N, 4]``.
    """
    scores = teacher_logits.sigmoid()
    errors = (scores - logits.sigmoid()).abs() ** FOCAL_GAMMA
    entropy = binary_cross_entropy_with_logits(logits, scores, reduction="none")
    total = scores[scores > LEAST_SCORE].sum().clamp(min=1)
    best = scores.amax(dim=-1)
    rows = best > LEAST_SCORE
    of_rows = anchors.expand(len(logits), -1, -1)[rows]
    boxes, expected = decode(deltas[rows], of_rows), decode(teacher_deltas[rows], of_rows)
    losses = generalized_box_iou_loss(boxes, expected, reduction="none") * best[rows]
    by_boxes = losses.sum() / best[rows].sum().clamp(min=1)
    return (entropy * errors).sum() / total, TEACHER_BOX_WEIGHT * by_boxes


def shorten_heads(model: str, convolutions: int, output: Path) -> Path:
    """Write a model with the first convolutions of its heads and new outputs; return its path."""
    card, arrays = read_model_file(model)
    if card.network is None:
        raise ValueError(f"model {card.name}: its card describes no network")
    config = card.network.model_copy(update={"head_convs": convolutions})
    torch.manual_seed(0)
    state = RetinaNet(config, len(card.classes)).state_dict()
    weights = {name: value.numpy().astype(np.float16) for name, value in state.items()}
    weights |= {
        name: values
        for name, values in network_parameters(arrays).items()
        if name in weights and not name.startswith(NEW)
    }
    card = card_of_changed_weights(card, network=config)
    write_model_file(output, card, add_networks(card, weights))
    return output


def narrow_outline_head(model: str, channels: int, output: Path) -> Path:
    """Write a model with the strongest channels of its outline features; return its path."""
    card, arrays = read_model_file(model)
    if card.network is None or card.network.outline is None:
        raise ValueError(f"model {card.name}: it has no outline head")
    outline = card.network.outline.model_copy(update={"channels": channels})
    weights = dict(network_parameters(arrays))

    def strongest(name: str) -> NDArray[np.int64]:
        """Return the channels that a convolution weighs most."""
        sums = np.abs(weights[name].astype(np.float32)).sum(axis=(0, 2, 3))
        return np.sort(np.argsort(-sums)[:channels])

    inner, outer = strongest(f"{SMOOTH}.weight"), strongest(FIRST)
    for name in ("fine.weight", "fine.bias", "coarse.weight", "coarse.bias"):
        weights[f"{FEATURES}.{name}"] = weights[f"{FEATURES}.{name}"][inner]
    weights[f"{SMOOTH}.weight"] = weights[f"{SMOOTH}.weight"][outer][:, inner]
    weights[f"{SMOOTH}.bias"] = weights[f"{SMOOTH}.bias"][outer]
    weights[FIRST] = weights[FIRST][:, outer]
    config = card.network.model_copy(update={"outline": outline})
    card = card_of_changed_weights(card, network=config)
    write_model_file(output, card, add_networks(card, weights))
    return output
