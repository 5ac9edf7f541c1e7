"""What is in the pictures that moescope draws: the marks of an SVG, the pixels of a PNG."""

import base64
import collections
import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = r"-?[\d.]+(?:e-?\d+)?"


def pixels_of(png):
    """PNG bytes (8 bits a channel, not interlaced) -> rows x columns x channels."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            data += body
        at += length + 12
    assert (depth, interlaced) == (8, 0)
    channels = {2: 3, 6: 4}[colour]
    stride = width * channels
    data, above, lines = zlib.decompress(data), bytes(stride), []
    for at in range(0, len(data), 1 + stride):
        above = unfiltered(data[at], bytearray(data[at + 1:at + 1 + stride]), above, channels)
        lines.append(above)
    return np.frombuffer(b"".join(lines), np.uint8).reshape(height, width, channels)


def unfiltered(kind, line, above, channels):
    """One line behind PNG's filter `kind` (PNG, section 9)."""
    if kind == 2:
        return (np.frombuffer(line, np.uint8) + np.frombuffer(above, np.uint8)).tobytes()
    for i in range(len(line) if kind else 0):
        left, corner = (line[i - channels], above[i - channels]) if i >= channels else (0, 0)
        up = above[i]
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        line[i] = (line[i] + guess) & 255
    return bytes(line)


def box_of(element):
    """(left, top, right, bottom) of a text that stands level or, as an axis's name, upright."""
    size = float(re.search(rf"font-size:({NUMBER})px", element.get("style")).group(1))
    width = 0.6 * size * len(element.text)
    x, y = float(element.get("x", 0)), float(element.get("y", 0))
    x -= width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
    kind, numbers = re.fullmatch(r"(\w+)\((.*)\)", element.get("transform")).groups()
    *turn, dx, dy = map(float, re.split("[ ,]", numbers))
    if kind == "matrix":
        assert turn == [0, -1, 1, 0]
        return dx + y - size / 2, dy - x - width, dx + y + size / 2, dy - x
    return dx + x, dy + y - size / 2, dx + x + width, dy + y + size / 2


Bar = collections.namedtuple("Bar", "width height middle colour")


class Picture:
    """An SVG that build-plots wrote."""

    def __init__(self, path):
        self.root = ElementTree.parse(path).getroot()
        self.size = (self.root.get("width"), self.root.get("height"))

    def texts(self):
        return [element.text for element in self.root.iter(SVG + "text")]

    def boxes(self):
        """(text, (left, top, right, bottom)) of each text, from the mean width of DejaVu Sans's letters."""
        return [(element.text, box_of(element)) for element in self.root.iter(SVG + "text")]

    def bars(self):
        """The bars in the order of the data."""
        found = []
        for path in self.root.iter(SVG + "path"):
            if path.get("ecmeta_ssr_type") != "chart":
                continue
            box = re.match(rf"M({NUMBER}) ({NUMBER})l({NUMBER}) 0l0 ({NUMBER})", path.get("d"))
            x, y, width, height = map(float, box.groups())
            found.append(Bar(abs(width), abs(height), (x + width / 2, y + height / 2), path.get("fill")))
        return found

    def line_paths(self):
        return [path for group in self.root.iter(SVG + "g") for path in group.iter(SVG + "path")
                if path.get("fill") == "none"]

    def lines(self):
        """The points of each line, and how it is drawn."""
        return [([tuple(map(float, point)) for point in re.findall(rf"[ML]({NUMBER}) ({NUMBER})", path.get("d"))],
                 (path.get("stroke"), path.get("stroke-dasharray"))) for path in self.line_paths()]

    def strokes(self):
        """How many points each unbroken piece of the lines has."""
        return [1 + piece.count("L") for path in self.line_paths() for piece in path.get("d").split("M")[1:]]

    def ticks(self, anchor):
        """Number -> (x, y) of the labels of an axis: "end" left of the chart, "middle" below it."""
        ticks = {}
        for text in self.root.iter(SVG + "text"):
            place = re.match(rf"translate\(({NUMBER}) ({NUMBER})\)", text.get("transform"))
            if place and text.get("text-anchor") == anchor and re.fullmatch(NUMBER, text.text):
                ticks[float(text.text)] = tuple(map(float, place.groups()))
        return ticks

    def value_at(self, y):
        """What a height means, from the labels of the value axis."""
        ticks = sorted((place[1], value) for value, place in self.ticks("end").items())
        return np.interp(y, [tick[0] for tick in ticks], [tick[1] for tick in ticks])

    def cells(self, columns, rows):
        """rows x columns x 3: the colours in the middle of a heatmap's cells."""
        href = next(self.root.iter(SVG + "image")).get("href")
        pixels = pixels_of(base64.b64decode(href.removeprefix("data:image/png;base64,")))
        middle = [((np.arange(count) + 0.5) * size / count).astype(int)
                  for count, size in ((rows, pixels.shape[0]), (columns, pixels.shape[1]))]
        return pixels[np.ix_(*middle)][..., :3]
