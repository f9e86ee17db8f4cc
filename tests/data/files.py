"""Data sets in their own formats, made small by the tests."""

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10


def write_mnist(root: Path, *, count: int = 12, folder: str = "MNIST", compressed: bool = False) -> Path:
    """IDX files as LeCun's page describes them: magic, sizes, bytes; big endian."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, header, data in (
            ("images-idx3-ubyte", struct.pack(">iiii", 0x803, count, 28, 28), images),
            ("labels-idx1-ubyte", struct.pack(">ii", 0x801, count), labels),
        ):
            content = header + data.tobytes()
            path = raw / f"{part}-{name}"
            if compressed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
    return raw


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, *, count: int = 4) -> Path:
    """Pickled batches; torchvision is told their checksums, its check stays as it is."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)

    def write(name: str, content: dict[str, object]) -> str:
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(name: str) -> list[str]:
        pixels = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        return [name, write(name, {"data": pixels, "labels": [i % 10 for i in range(count)]})]

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    names = [f"class {i}" for i in range(10)]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", {"label_names": names})}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder


def write_image(path: Path, size: tuple[int, int] = (20, 16), mode: str = "RGB") -> Path:
    """A gradient, so that no two rows and columns are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 5) % 256
    Image.fromarray(ramp.astype(np.uint8), "L").convert(mode).save(path)
    return path
