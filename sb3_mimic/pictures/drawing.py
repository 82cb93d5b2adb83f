"""Drawing on pictures."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Picture = npt.NDArray[np.uint8]


def enlarge(picture: Picture, height: int) -> Picture:
    """:return: The picture with that height, its pixels as crisp squares"""
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))


def caption(picture: Picture, text: str) -> Picture:
    """:return: A copy of the picture with a line of text in its upper left corner"""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((12, 10), text, fill=(40, 48, 60), font_size=18)
    return np.asarray(image)
