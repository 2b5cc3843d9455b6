import gzip
import io
import pickle
import struct
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from earlybird.errors import InputError
from earlybird.recipes.data import images
from earlybird.recipes.data.images import ImageDataset
from earlybird.recipes.data.load import fetch_images, load_images
from earlybird.recipes.data.settings import ImageDataSettings

CIFAR10 = Path(__file__).parents[3] / "shared" / "data" / "cifar10"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def settings(format="parquet", source="", **others):
    return ImageDataSettings(format=format, source=str(source), **others)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def flat(value, size=4):
    """An encoded grey image of one value."""
    return png(np.full((size, size), value, dtype=np.uint8))


def write_parquet(path, files, labels, image="image", label="label"):
    """Write images as a plain struct of bytes and path, without the hub's own metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = pyarrow.array(
        [{"bytes": data, "path": None} for data in files],
        type=pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    pyarrow.parquet.write_table(pyarrow.table({image: encoded, label: labels}), path)


@pytest.fixture
def parquet(tmp_path):
    """Training images of values 0, 40, ..., 200 with labels 0, 1, 2, 0, 1, 2, and three for evaluation."""
    directory = tmp_path / "images"
    write_parquet(directory / "train-00000-of-00002.parquet", [flat(0), flat(40), flat(80)], [0, 1, 2])
    write_parquet(directory / "train-00001-of-00002.parquet", [flat(120), flat(160), flat(200)], [0, 1, 2])
    write_parquet(directory / "test.parquet", [flat(1), flat(2), flat(3)], [2, 1, 0])
    return directory


def write_idx(path, array, header=None):
    array = np.asarray(array, dtype=np.uint8)
    header = header or bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(header + array.tobytes())


IDX_HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", 1, 9, 9)


@pytest.fixture
def idx(tmp_path):
    directory = tmp_path / "idx"
    directory.mkdir()
    pixels = np.arange(3 * 5 * 5, dtype=np.uint8).reshape(3, 5, 5)
    write_idx(directory / "train-images-idx3-ubyte", pixels)
    write_idx(directory / "train-labels-idx1-ubyte", [0, 1, 2])
    write_idx(directory / "t10k-images-idx3-ubyte.gz", pixels[:2])
    write_idx(directory / "t10k-labels-idx1-ubyte.gz", [2, 0])
    return directory


@pytest.fixture
def folder(tmp_path):
    directory = tmp_path / "folder [1]"
    for split in ("train", "test"):
        for value, name in enumerate(("ant", "bee", "test")):
            (directory / split / name).mkdir(parents=True)
            (directory / split / name / "test_1.png").write_bytes(flat(100 * value))
    return directory


def values(dataset):
    """The one value of each flat image, in order."""
    return [int(dataset[index]["pixel_values"][0, 0, 0]) for index in range(len(dataset))]


def labels(dataset):
    return [dataset[index]["labels"] for index in range(len(dataset))]


# What a loaded set holds


def test_parquet_items_keep_order_shape_and_type(parquet):
    data = load_images(settings(source=parquet), image_size=4, channels=3)
    item = data.train[4]
    assert item["pixel_values"].dtype == torch.uint8
    assert item["pixel_values"].shape == (3, 4, 4)
    assert type(item["labels"]) is int
    assert values(data.train) == [0, 40, 80, 120, 160, 200]
    assert labels(data.train) == [0, 1, 2, 0, 1, 2]
    assert values(data.evaluation) == [1, 2, 3]
    assert data.labels == ("0", "1", "2")


def test_statistics_are_those_of_all_training_pixels(tmp_path):
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [png(image) for image in pixels], [0, 1, 0, 1, 0])
    data = load_images(settings(source=tmp_path), image_size=6, channels=3)
    np.testing.assert_allclose(data.statistics.mean, (pixels / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.statistics.std, (pixels / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_a_large_set_is_decoded_item_by_item_and_equal(parquet, monkeypatch):
    at_once = load_images(settings(source=parquet), 4, 3)
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    by_item = load_images(settings(source=parquet), 4, 3)
    assert values(by_item.train) == values(at_once.train)
    np.testing.assert_allclose(by_item.statistics.mean, at_once.statistics.mean)
    np.testing.assert_allclose(by_item.statistics.std, at_once.statistics.std)


def test_a_large_set_names_the_undecodable_row_on_access(parquet, monkeypatch):
    write_parquet(parquet / "test.parquet", [flat(1), b"no image"], [0, 1])
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    evaluation = load_images(settings(source=parquet), 4, 3).evaluation
    assert len(evaluation) == 2
    with pytest.raises(InputError, match="row 1"):
        evaluation[1]


def test_a_dataset_travels_to_workers_and_ends(parquet):
    train = pickle.loads(pickle.dumps(load_images(settings(source=parquet), 4, 1).train))
    assert isinstance(train, ImageDataset)
    assert values(train) == [0, 40, 80, 120, 160, 200]
    with pytest.raises(IndexError):
        train[6]


def test_limits_take_a_fixed_mixture(parquet):
    limited = load_images(settings(source=parquet, train_limit=4, eval_limit=2), 4, 1)
    again = load_images(settings(source=parquet, train_limit=3, eval_limit=99), 4, 1)
    assert len(limited.train) == 4
    assert len(limited.evaluation) == 2
    assert values(again.train) == values(limited.train)[:3]
    assert values(limited.train) != [0, 40, 80, 120]
    assert set(zip(values(limited.train), labels(limited.train), strict=True)) <= {
        (40 * row, row % 3) for row in range(6)
    }
    assert values(again.evaluation) == [1, 2, 3]


# Pixels


def test_grey_becomes_colour_and_colour_becomes_grey(tmp_path):
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [png(red), flat(90)], [0, 1])
    colour = load_images(settings(source=tmp_path), 4, 3).train
    assert colour[0]["pixel_values"][:, 0, 0].tolist() == [200, 0, 0]
    assert colour[1]["pixel_values"][:, 0, 0].tolist() == [90, 90, 90]
    grey = load_images(settings(source=tmp_path), 4, 1).train
    assert grey[0]["pixel_values"].shape == (1, 4, 4)
    assert grey[0]["pixel_values"][0, 0, 0] == round(200 * 0.299)


def test_another_size_is_cut_to_the_centred_square_and_resized(tmp_path):
    wide = np.zeros((4, 12), dtype=np.uint8)
    wide[:, 2:10] = 77  # The square and what bicubic resampling sees around it.
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [png(wide), flat(9, size=16)], [0, 1])
    train = load_images(settings(source=tmp_path), 8, 1).train
    assert (train[0]["pixel_values"] == 77).all()
    assert (train[1]["pixel_values"] == 9).all()


def test_an_image_may_be_a_file_beside_its_row(tmp_path):
    (tmp_path / "one.png").write_bytes(flat(5))
    (tmp_path / "two.png").write_bytes(flat(6))
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    rows = [{"bytes": None, "path": str(tmp_path / name)} for name in ("one.png", "two.png")]
    for split in ("train", "test"):
        table = pyarrow.table({"image": pyarrow.array(rows, type=kind), "label": [0, 1]})
        pyarrow.parquet.write_table(table, tmp_path / f"{split}.parquet")
    assert values(load_images(settings(source=tmp_path), 4, 1).train) == [5, 6]


@pytest.mark.parametrize(
    ("damaged", "complaint"),
    [
        (b"no image", "cannot identify"),
        (flat(3)[:50], ""),
        (None, "neither bytes nor a path"),
        (png(np.full((4, 4), 40_000, dtype=np.uint16)), "8 bits per channel"),
    ],
)
def test_an_unusable_image_is_named_by_row(parquet, damaged, complaint):
    write_parquet(parquet / "test.parquet", [flat(1), damaged], [0, 1])
    with pytest.raises(InputError, match=rf"'test' of .*, row 1: .*{complaint}"):
        load_images(settings(source=parquet), 4, 3)


def test_an_unusable_image_is_named_by_the_part_that_holds_it(parquet):
    write_parquet(parquet / "train-00001-of-00002.parquet", [flat(1), b"no image", flat(2)], [0, 1, 2])
    for ask in (fetch_images, lambda asked: load_images(asked, 4, 3)):
        with pytest.raises(InputError, match=r"'train' of .*, train-00001-of-00002.parquet, row 1: .*cannot identify"):
            ask(settings(source=parquet))


def test_an_unusable_image_is_named_by_the_path_in_its_row(parquet):
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    rows = [{"bytes": flat(1), "path": "bee.png"}, {"bytes": b"no image", "path": "cow.png"}]
    table = pyarrow.table({"image": pyarrow.array(rows, type=kind), "label": [0, 1]})
    pyarrow.parquet.write_table(table, parquet / "test.parquet")
    with pytest.raises(InputError, match=r"test.parquet, row 1 \(cow.png\): the image cannot be used"):
        fetch_images(settings(source=parquet))


def test_a_missing_file_that_a_row_names_is_named_with_its_row(parquet):
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    rows = [{"bytes": flat(1), "path": None}, {"bytes": None, "path": "cow.png"}]
    table = pyarrow.table({"image": pyarrow.array(rows, type=kind), "label": [0, 1]})
    pyarrow.parquet.write_table(table, parquet / "test.parquet")
    with pytest.raises(InputError, match=r"'test' of .*, test.parquet, row 1 \(cow.png\): .* No such file"):
        fetch_images(settings(source=parquet))


def test_many_images_are_decoded_in_their_order(parquet):
    write_parquet(parquet / "train.parquet", [flat(number % 251) for number in range(1000)], [0, 1] * 500)
    train = load_images(settings(source=parquet), 4, 1).train
    assert values(train)[6:] == [number % 251 for number in range(1000)]


def test_images_of_one_value_cannot_be_normalised(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [flat(7), flat(7)], [0, 1])
    with pytest.raises(InputError, match="same value"):
        load_images(settings(source=tmp_path), 4, 1)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channels_are_refused(parquet, channels):
    for ask in (fetch_images, lambda asked, channels: load_images(asked, 4, channels)):
        with pytest.raises(InputError, match=rf"model.channels must be 1 .* or 3 .*{channels}"):
            ask(settings(source=parquet), channels)


# Parquet: files, columns, labels


@pytest.mark.parametrize("layout", ["data", "plain_text"])
def test_parquet_is_found_as_the_hub_lays_it_out(parquet, tmp_path, layout):
    source = tmp_path / "hub"
    source.mkdir()
    parquet.rename(source / layout)
    assert fetch_images(settings(source=source)).train == 6


def test_the_config_chooses_among_folders(parquet, tmp_path):
    source = tmp_path / "hub"
    for config in ("first", "second"):
        for split in ("train", "test"):
            write_parquet(source / config / f"{split}.parquet", [flat(1), flat(2)], [0, 1])
    with pytest.raises(InputError, match=r"several configs .first, second.: set data.config"):
        fetch_images(settings(source=source))
    assert fetch_images(settings(source=source, config="second")).train == 2
    with pytest.raises(InputError, match=r"in its folder third/, found first/test.parquet"):
        fetch_images(settings(source=source, config="third"))


def test_another_split_with_the_same_beginning_is_left_alone(parquet):
    for name in ("train_extra.parquet", "training.parquet"):
        write_parquet(parquet / name, [flat(1), flat(2), flat(3), flat(4)], [0, 1, 2, 0])
    assert fetch_images(settings(source=parquet)).train == 6
    assert fetch_images(settings(source=parquet, train_split="train_extra", eval_split="train")).train == 4


def test_a_relative_source_starts_at_the_current_directory(parquet, monkeypatch):
    monkeypatch.chdir(parquet.parent)
    assert fetch_images(settings(source=parquet.name)).evaluation == 3


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist .*expects a directory with \{split\}"):
        load_images(settings(source=tmp_path / "nowhere"), 4, 3)


def test_a_file_is_no_directory(parquet):
    with pytest.raises(InputError, match=r"test.parquet is not a directory"):
        load_images(settings(source=parquet / "test.parquet"), 4, 3)


def test_a_missing_split_lists_what_is_there(parquet):
    with pytest.raises(InputError, match=r"'validation': expected validation\*.parquet .* found test.parquet"):
        load_images(settings(source=parquet, eval_split="validation"), 4, 3)


def test_an_empty_directory_has_no_parquet_file(tmp_path):
    with pytest.raises(InputError, match="no Parquet file"):
        load_images(settings(source=tmp_path), 4, 3)


def test_a_damaged_parquet_file_is_named(parquet):
    (parquet / "test.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"cannot be read as Parquet \(test.parquet\)"):
        load_images(settings(source=parquet), 4, 3)


def test_a_part_without_rows_does_no_harm(parquet):
    for name in ("train-0.parquet", "train-9.parquet"):
        write_parquet(parquet / name, [], pyarrow.array([], type=pyarrow.int64()))
    assert values(load_images(settings(source=parquet), 4, 1).train) == [0, 40, 80, 120, 160, 200]


def test_an_empty_split_is_named(parquet):
    write_parquet(parquet / "test.parquet", [], pyarrow.array([], type=pyarrow.int64()))
    with pytest.raises(InputError, match=r"'test' of .* is empty"):
        load_images(settings(source=parquet), 4, 3)


def test_the_only_fitting_columns_are_taken(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [flat(1), flat(2)], [0, 1], "img", "fine_label")
    assert labels(load_images(settings(source=tmp_path), 4, 1).train) == [0, 1]


def test_a_missing_column_lists_those_that_are_there(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [flat(1), flat(2)], [0, 1], "image", "kind")
    with pytest.raises(InputError, match=r"no column 'label': set data.label_column .* image, kind"):
        load_images(settings(source=tmp_path), 4, 1)
    assert fetch_images(settings(source=tmp_path, label_column="kind")).labels == ("0", "1")


def test_a_named_column_of_labels_is_not_replaced_by_another(parquet):
    with pytest.raises(InputError, match=r"no column 'coarse': set data.label_column .* image, label"):
        fetch_images(settings(source=parquet, label_column="coarse"))


def test_two_image_columns_need_a_choice(tmp_path):
    file = {"bytes": flat(1), "path": None}
    table = pyarrow.table({"left": [file, file], "right": [file, file], "label": [0, 1]})
    for split in ("train", "test"):
        pyarrow.parquet.write_table(table, tmp_path / f"{split}.parquet")
    with pytest.raises(InputError, match=r"no column 'image': set data.image_column .* left, right, label"):
        fetch_images(settings(source=tmp_path))
    assert fetch_images(settings(source=tmp_path, image_column="right")).train == 2


def test_a_column_without_images_is_refused(parquet):
    with pytest.raises(InputError, match=r"column 'label' .* expected images .*image, label"):
        fetch_images(settings(source=parquet, image_column="label"))


def test_strings_become_sorted_classes_shared_by_both_splits(tmp_path):
    write_parquet(tmp_path / "train.parquet", [flat(1), flat(2), flat(3)], ["dog", "ant", "bee"])
    write_parquet(tmp_path / "test.parquet", [flat(1), flat(2)], ["dog", "bee"])
    data = load_images(settings(source=tmp_path), 4, 1)
    assert data.labels == ("ant", "bee", "dog")
    assert labels(data.train) == [2, 0, 1]
    assert labels(data.evaluation) == [2, 1]


def test_a_class_that_training_lacks_is_named(tmp_path):
    write_parquet(tmp_path / "train.parquet", [flat(1), flat(2)], ["dog", "ant"])
    write_parquet(tmp_path / "test.parquet", [flat(1)], ["cow"])
    with pytest.raises(InputError, match=r"'cow', the training split does not: expected only ant, dog"):
        fetch_images(settings(source=tmp_path))


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ([0, -1, 2], "row 1: label -1 is negative"),
        ([0, None, 2], "row 1: 'label' is missing"),
        ([0.0, 0.5, 1.0], "holds double, expected integers"),
        ([0, 1, 70_000], "label 70000: labels must count the classes"),
        (pyarrow.array([b"cat", b"caf\xe9", b"cat"]).view(pyarrow.string()), "row 1: 'label' is not UTF-8"),
    ],
)
def test_a_bad_label_is_named(parquet, bad, complaint):
    write_parquet(parquet / "test.parquet", [flat(1), flat(2), flat(3)], bad)
    with pytest.raises(InputError, match=complaint):
        fetch_images(settings(source=parquet))


def test_class_names_of_the_file_are_kept_and_bound_the_labels(parquet):
    table = {"image": [{"bytes": flat(1), "path": None}] * 2, "label": [1, 0]}
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["no", "yes"]))
    datasets.Dataset.from_dict(table, features).to_parquet(parquet / "named.parquet")
    named = settings(source=parquet, train_split="named", eval_split="named")
    assert fetch_images(named).labels == ("no", "yes")
    with pytest.raises(InputError, match=r"'test' of .*, row 0: label 2 is beyond the 2 named classes"):
        fetch_images(settings(source=parquet, train_split="named"))


def test_names_and_numbers_of_classes_do_not_mix(parquet):
    write_parquet(parquet / "named.parquet", [flat(1), flat(2)], ["dog", "ant"])
    for splits in ({"train_split": "named"}, {"eval_split": "named"}):
        with pytest.raises(InputError, match=r"do not label alike: .*'named'.* has names of classes, .* has integers"):
            fetch_images(settings(source=parquet, **splits))


# Classes without examples


def write_named(path, labels, names=("ant", "bee", "cow")):
    """Write images whose labels are numbers that the file itself names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"image": [{"bytes": flat(row), "path": None} for row in range(len(labels))], "label": labels}
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(names)))
    datasets.Dataset.from_dict(table, features).to_parquet(path)


@pytest.mark.parametrize("kind", ["integers", "strings", "names", "hub", "idx"])
def test_training_examples_of_one_class_are_no_task(tmp_path, monkeypatch, kind):
    for split in ("train", "test"):
        if kind == "idx":
            write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.arange(75).reshape(3, 5, 5))
            write_idx(tmp_path / f"{split}-labels-idx1-ubyte", [1, 1, 1])
        elif kind in ("names", "hub"):
            write_named(tmp_path / f"{split}.parquet", [1, 1, 1])
        else:
            write_parquet(
                tmp_path / f"{split}.parquet", [flat(1), flat(2), flat(3)], [1 if kind == "integers" else "bee"] * 3
            )
    if kind == "hub":
        sets = {split: datasets.Dataset.from_parquet(str(tmp_path / f"{split}.parquet")) for split in ("train", "test")}
        monkeypatch.setattr(datasets, "load_dataset", lambda name, config: datasets.DatasetDict(sets))
    asked = settings(kind if kind in ("idx", "hub") else "parquet", tmp_path)
    name = "1" if kind in ("integers", "idx") else "bee"
    for ask in (fetch_images, lambda asked: load_images(asked, 4, 1)):
        with pytest.raises(InputError, match=f"train.* holds the one class '{name}': there is nothing to tell apart"):
            ask(asked)


def test_a_limit_that_leaves_one_class_is_no_task(parquet):
    with pytest.raises(InputError, match=r"data.train_limit=1 holds the one class"):
        fetch_images(settings(source=parquet, train_limit=1))


def test_all_classes_with_examples_need_no_note(parquet):
    assert fetch_images(settings(source=parquet)).notes == ()


def test_a_class_in_one_of_the_splits_alone_is_told(tmp_path):
    write_named(tmp_path / "named" / "train.parquet", [0, 1])
    write_named(tmp_path / "named" / "test.parquet", [0, 2])
    write_parquet(tmp_path / "integers" / "train.parquet", [flat(1), flat(2)], [0, 1])
    write_parquet(tmp_path / "integers" / "test.parquet", [flat(1), flat(2)], [0, 2])
    for kind, name in (("named", "cow"), ("integers", "2")):
        other = "bee" if kind == "named" else "1"
        expected = (
            f"the class '{other}' occurs in training alone, no evaluation example judges it",
            f"the class '{name}' occurs in evaluation alone, no training example shows it",
        )
        assert fetch_images(settings(source=tmp_path / kind)).notes == expected
        assert load_images(settings(source=tmp_path / kind), 4, 1).notes == expected


def test_a_class_in_no_example_is_told(tmp_path):
    for split in ("train", "test"):
        write_named(tmp_path / "named" / f"{split}.parquet", [0, 1])
        write_parquet(tmp_path / "from one" / f"{split}.parquet", [flat(1), flat(2), flat(3)], [1, 2, 1])
    for kind, name in (("named", "cow"), ("from one", "0")):
        assert fetch_images(settings(source=tmp_path / kind)).notes == (
            f"the class '{name}' occurs in no training and no evaluation example",
        )


def test_many_classes_without_examples_are_told_in_one_sentence(tmp_path):
    for split in ("train", "test"):
        write_named(tmp_path / f"{split}.parquet", [0, 1], [f"c{number}" for number in range(1500)])
    (note,) = fetch_images(settings(source=tmp_path)).notes
    assert note.startswith("1,498 classes ('c2', 'c3', ")
    assert note.endswith("'c11' and 1,488 more) occur in no training and no evaluation example")


def test_evaluation_examples_of_one_class_are_told(parquet):
    write_parquet(parquet / "test.parquet", [flat(1), flat(2)], [1, 1])
    assert fetch_images(settings(source=parquet)).notes == (
        "all evaluation examples are of the class '1': the others are not judged",
    )


# Image folders


def test_folders_name_the_classes(folder):
    data = load_images(settings("image-folder", folder), 4, 1)
    assert data.labels == ("ant", "bee", "test")
    assert sorted(zip(values(data.train), labels(data.train), strict=True)) == [(0, 0), (100, 1), (200, 2)]
    assert fetch_images(settings("image-folder", folder)).evaluation == 3


def test_a_missing_split_folder_lists_what_is_there(folder):
    with pytest.raises(InputError, match="no folder 'val': expected val/CLASS/FILE, found test, train"):
        fetch_images(settings("image-folder", folder, eval_split="val"))


def test_a_folder_without_images_is_named(folder):
    (folder / "val" / "ant").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no images could be read below .*val, expected val/CLASS/FILE"):
        fetch_images(settings("image-folder", folder, eval_split="val"))


def test_an_image_outside_the_class_folders_is_refused(folder):
    (folder / "train" / "stray.png").write_bytes(flat(1))
    with pytest.raises(InputError, match=r"outside its class folders \(in train/\)"):
        fetch_images(settings("image-folder", folder))


# IDX files


def test_idx_files_plain_and_gzipped(idx):
    data = load_images(settings("idx", idx), 5, 1)
    assert data.train[1]["pixel_values"].flatten().tolist() == list(range(25, 50))
    assert labels(data.evaluation) == [2, 0]
    assert data.labels == ("0", "1", "2")


def test_idx_split_names_are_prefixes(idx):
    for path in list(idx.iterdir()):
        path.rename(path.with_name("letters-" + path.name))
    counts = fetch_images(settings("idx", idx, train_split="letters-train", eval_split="letters-t10k"))
    assert (counts.train, counts.evaluation) == (3, 2)


def test_a_missing_idx_file_says_what_was_expected(idx):
    (idx / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"'test': expected test-labels.* or t10k-labels-idx1-ubyte.gz"):
        fetch_images(settings("idx", idx))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (b"\x00\x00", "begins with 00 00, expected 00 00 08 03"),
        (bytes([0, 0, 8, 1]) + bytes(12), "begins with 00 00 08 01"),
        (bytes([0, 0, 13, 3]) + bytes(12), "begins with 00 00 0d 03"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 5, 6), "promises 2 x 5 x 6 bytes .* holds fewer"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 5, 4), "promises 2 x 5 x 4 bytes .* holds more"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "promises 4294967295 x .* holds fewer"),
    ],
)
def test_a_lying_idx_header_is_refused(idx, header, complaint, suffix):
    (idx / "train-images-idx3-ubyte").unlink()
    pixels = np.zeros((0,) if len(header) == 2 else (2, 5, 5))
    write_idx(idx / f"train-images-idx3-ubyte{suffix}", pixels, header)
    with pytest.raises(InputError, match=f"train-images-idx3-ubyte{suffix} .*{complaint}"):
        fetch_images(settings("idx", idx))


def test_an_idx_image_without_pixels_is_refused(idx):
    write_idx(idx / "train-images-idx3-ubyte", np.zeros((3, 0, 5)))
    with pytest.raises(InputError, match=r"is empty: its header promises 3 x 0 x 5"):
        load_images(settings("idx", idx), 5, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip stream",
        gzip.compress(IDX_HEADER + bytes(range(81)))[:60],
        gzip.compress(b"")[:10] + b"\xff" * 20,
    ],
    ids=["foreign", "truncated", "damaged"],
)
def test_a_damaged_gzip_file_is_named(idx, content):
    (idx / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.gz cannot be read"):
        fetch_images(settings("idx", idx))


def test_idx_labels_must_match_the_images(idx):
    write_idx(idx / "train-labels-idx1-ubyte", [0, 1])
    with pytest.raises(InputError, match="3 images and 2 labels"):
        fetch_images(settings("idx", idx))


# Digits and the hub


def test_digits_are_split_evenly_by_class():
    data = load_images(settings("digits"), 8, 1)
    assert (len(data.train), len(data.evaluation)) == (1347, 450)
    assert data.labels == tuple("0123456789")
    assert np.bincount(labels(data.evaluation)).min() >= 43
    assert max(int(data.train[row]["pixel_values"].max()) for row in range(50)) == 255


def test_the_hub_is_asked_for_name_and_config(parquet, monkeypatch):
    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        return datasets.DatasetDict(
            {name: datasets.Dataset.from_parquet(str(parquet / "test.parquet")) for name in ("train", "test")}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert fetch_images(settings("hub", "some/images", config="small")).train == 3
    assert asked == [("some/images", "small")]
    with pytest.raises(InputError, match=r"some/images has no split 'val': it has train, test"):
        fetch_images(settings("hub", "some/images", eval_split="val"))


READERS = ("pandas", "csv", "json", "parquet", "text", "imagefolder", "arrow", "webdataset")


@pytest.mark.parametrize("source", [*READERS, "hf://datasets/csv"])
def test_a_reader_of_files_is_no_name_on_the_hub(source, tmp_path, monkeypatch):
    # One of these would read what lies in the current directory.
    for split in ("train", "test"):
        datasets.Dataset.from_dict({"label": [0, 1]}).to_csv(tmp_path / f"{split}.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"{source} is no data set on the hub, .* set data.format"):
        fetch_images(settings("hub", source))


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("imagefolder", "did you mean 'image-folder'"),
        ("parquet", "did you mean 'parquet'"),
        ("pandas", "choose one of parquet, image-folder, idx, digits"),
    ],
)
def test_the_format_that_was_meant_is_named(source, meant):
    with pytest.raises(InputError, match=meant):
        fetch_images(settings("hub", source))


@pytest.mark.parametrize("source", ["glue", "cifar10", "pandas/frames", "nobody/csv"])
def test_other_names_are_left_to_the_hub(source, parquet, monkeypatch):
    asked = []

    def load_dataset(name, config):
        asked.append(name)
        table = datasets.Dataset.from_parquet(str(parquet / "test.parquet"))
        return datasets.DatasetDict(train=table, test=table)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert fetch_images(settings("hub", source)).train == 3
    assert asked == [source]


def test_a_failed_download_says_the_way_out(monkeypatch):
    def load_dataset(name, config):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError) as caught:
        fetch_images(settings("hub", "some/images", config="small"))
    for part in (
        "some/images (small)",
        "no route",
        "earlybird data RECIPE",
        "data.format=parquet data.source=DIR",
    ):
        assert part in str(caught.value)


@pytest.mark.skipif(not CIFAR10.is_dir(), reason="CIFAR-10 is not in ../shared/data")
def test_real_cifar10():
    source = settings(source=CIFAR10, train_limit=500, eval_limit=100)
    data = load_images(source, 32, 3)
    assert (len(data.train), len(data.evaluation)) == (500, 100)
    assert data.labels[:2] == ("airplane", "automobile")
    assert set(labels(data.train)) == set(range(10))
    np.testing.assert_allclose(data.statistics.mean, (0.4914, 0.4822, 0.4465), atol=0.02)
    np.testing.assert_allclose(data.statistics.std, (0.2470, 0.2435, 0.2616), atol=0.02)
    assert fetch_images(source).train == 50_000
