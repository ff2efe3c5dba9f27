"""What an enhanced DICOM file says of each of its frames (PS3.3 C.7.6.16): the scale and the window to show it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")  # C.7.6.16.2.9 and .10
_ITEMS, _MOST_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"), 50_000  # a volume of 1,000 frames has about 15,000


def take_over_frame_groups(dataset: Dataset, frame: int) -> bool:
    """Put the scale and the window of one frame where a file of a single frame has them.

    Args:
        dataset: changed in place.
        frame: counted from 0.
    Returns:
        Whether the file has any.
    Raises:
        ImageError: there are far more items than frames.
    """
    found = False
    for name, index in zip(_GROUPS, (0, frame), strict=True):
        if name not in dataset:
            continue
        value = dataset.get_item(name).value
        if isinstance(value, bytes) and sum(map(value.count, _ITEMS)) > _MOST_ITEMS:
            raise ImageError("the DICOM file says far more of its frames than a film. Export them one by one.")
        for group in dataset[name].value[index : index + 1]:
            for item in (items[0] for macro in _MACROS if (items := group.get(macro))):
                dataset.update(item)
                found = True
    return found
