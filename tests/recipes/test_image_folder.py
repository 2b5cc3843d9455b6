"""Folders of image files: what the classes are, what is read, what is told of the rest."""

import json
import sys

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from earlybird import cli
from earlybird.errors import InputError
from earlybird.recipes.data import images
from earlybird.recipes.data.load import fetch_images, load_images
from earlybird.recipes.data.settings import ImageDataSettings

CLASSES = ("cat", "dog", "emu")
QUICK = ["training.epochs=4", "training.warmup_epochs=0", "training.batch_size=1", "search.detector=hamming"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    """Two images of each class in `train` and in `test`, of values that tell the class: 0, 100, 200."""
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            for image in range(2):
                write_image(tmp_path / "images" / split / name / f"{image}.png", 100 * number + image)
    return tmp_path / "images"


def write_image(path, value, mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 4), value).save(path, **options)


def settings(folder, **others):
    return ImageDataSettings(format="image-folder", source=str(folder), **others)


def load(folder, **others):
    return load_images(settings(folder, **others), 4, 1)


def labelled(data):
    """The labels' names by the images' values."""
    items = [data.train[row] for row in range(len(data.train))]
    return {int(item["pixel_values"][0, 0, 0]): data.labels[item["labels"]] for item in items}


def write_metadata(path, rows):
    """Write rows of `file_name` and others in the format that the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def rows_of(split, column="label", value=lambda number: number % 2):
    """Metadata of all images of a split, whose labels are not the folders."""
    names = [f"{name}/{image}.png" for name in CLASSES for image in range(2)]
    assert all((split / name).is_file() for name in names)
    return [{"file_name": name, column: value(number)} for number, name in enumerate(names)]


BY_FOLDER = {0: "cat", 1: "cat", 100: "dog", 101: "dog", 200: "emu", 201: "emu"}


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["earlybird", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_status:
        cli.main()
    return exit_status.value.code


def data_command(monkeypatch, folder, *overrides, name="data"):
    small = ["model.image_size=4", "model.patch_size=2", "model.channels=1"]
    source = ["data.format=image-folder", f"data.source={folder}"]
    return run_command(monkeypatch, name, "digits", *source, *small, *overrides)


# Folders, and metadata beside them


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["label", "text"])
@pytest.mark.parametrize("splits", [("train", "test"), ("train",), ("test",)])
def test_folders_name_the_classes_beside_metadata(folder, ending, column, splits):
    for split in splits:
        write_metadata(folder / split / f"metadata.{ending}", rows_of(folder / split, column))
    data = load(folder)
    assert data.labels == CLASSES
    assert labelled(data) == BY_FOLDER
    for split in splits:
        assert any(f"{split}/metadata.{ending} not read, the folders name the classes" in note for note in data.notes)
    assert len(data.notes) == len(splits)


def test_folders_name_the_classes_where_metadata_lie_in_them(folder):
    for name in CLASSES:
        write_metadata(folder / "train" / name / "metadata.csv", [{"file_name": "0.png", "label": "other"}])
    data = load(folder)
    assert labelled(data) == BY_FOLDER
    assert "data.label_column" in data.notes[0]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_column_that_is_named_wins_over_the_folders(folder, ending):
    for split in ("train", "test"):
        write_metadata(folder / split / f"metadata.{ending}", rows_of(folder / split, "kind", lambda n: "xy"[n % 2]))
    data = load(folder, label_column="kind")
    assert labelled(data) == {0: "x", 1: "y", 100: "x", 101: "y", 200: "x", 201: "y"}
    assert data.notes == ()


def test_the_column_label_can_be_named_like_any_other(folder):
    for split in ("train", "test"):
        write_metadata(folder / split / "metadata.csv", rows_of(folder / split))
    assert load(folder, label_column="label").labels == ("0", "1")


def test_a_named_column_that_the_metadata_lack_is_refused_with_both_ways_out(folder):
    for split in ("train", "test"):
        write_metadata(folder / split / "metadata.csv", rows_of(folder / split))
    with pytest.raises(
        InputError, match=r"no column 'kind': .* file_name, label; .*set data.label_column to .*or to null"
    ):
        fetch_images(settings(folder, label_column="kind"))


@pytest.mark.parametrize(("present", "absent"), [("train", "test"), ("test", "train")])
def test_a_named_column_needs_metadata_in_both_splits(folder, present, absent):
    write_metadata(folder / present / "metadata.csv", rows_of(folder / present))
    with pytest.raises(
        InputError, match=rf"{absent} holds no metadata.csv, .*: put one into every split, or set .*=null"
    ):
        fetch_images(settings(folder, label_column="label"))


@pytest.mark.parametrize("other", [None, "labels.csv"])
def test_a_named_column_needs_metadata(folder, other):
    for split in ("train", "test") if other else ():
        write_metadata(folder / split / other, rows_of(folder / split, "species"))
    with pytest.raises(InputError, match=r"data.label_column=species .*train holds no metadata.csv, .*=null"):
        fetch_images(settings(folder, label_column="species"))


def test_a_shipped_recipe_of_another_source_says_how_to_read_folders(folder, monkeypatch, capsys):
    source = ["data.format=image-folder", f"data.source={folder}", "model.channels=1"]
    assert run_command(monkeypatch, "data", "vit-cifar100", *source) == 2
    assert "set data.label_column=null, so that the folders name the classes" in capsys.readouterr().err
    assert run_command(monkeypatch, "data", "vit-cifar100", *source, "data.label_column=null") == 0


@pytest.mark.parametrize("name", ["Metadata.csv", "METADATA.JSONL", "metadata.Parquet"])
def test_metadata_may_be_written_in_capitals(folder, name):
    for split in ("train", "test"):
        path = folder / split / name
        write_metadata(path.with_name(name.lower()), rows_of(folder / split))
        path.with_name(name.lower()).rename(path)
    assert load(folder, label_column="label").labels == ("0", "1")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["NA", "null", "nan"], ("NA", "nan", "null")),
        (["01", "02", "10"], ("01", "02", "10")),
        (["True", "False", "x"], ("False", "True", "x")),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_names_of_classes_in_metadata_are_taken_as_they_are_written(folder, ending, values, names):
    for split in ("train", "test"):
        rows = rows_of(folder / split, "kind", lambda number: values[number % 3])
        write_metadata(folder / split / f"metadata.{ending}", rows)
    assert load(folder, label_column="kind").labels == names


def test_metadata_in_the_class_folders_name_images_from_there_in_any_format(folder):
    for split in ("train", "test"):
        for name, ending in (("cat", "csv"), ("dog", "jsonl"), ("emu", "parquet")):
            rows = [{"file_name": f"{image}.png", "kind": f"k{image}"} for image in range(2)]
            write_metadata(folder / split / name / f"metadata.{ending}", rows)
    data = load(folder, label_column="kind")
    assert labelled(data) == {0: "k0", 1: "k1", 100: "k0", 101: "k1", 200: "k0", 201: "k1"}


@pytest.mark.parametrize(
    ("ending", "content", "complaint"),
    [
        ("csv", "file_name,kind\ncat/0.png,caf\xe9\n".encode("latin-1"), r"line 2: the byte 0xe9 is not UTF-8"),
        ("csv", "file_name,kind\ncat/0.png,a\n".encode("utf-16"), r"it is in UTF-16"),
        ("csv", b"file_name,kind\n\ncat/0.png\n", r"line 3: expected 2 fields"),
        ("csv", b"file_name,kind\n\ncat/0.png,\n", r"line 3 of metadata.csv: the label ''"),
        ("csv", b"file_name,kind\ncat/0.png,a\ncat/0.png,b\n", r"line 3 of metadata.csv: file_name .* named twice"),
        ("csv", b"file_name,kind\n../test/cat/0.png,a\n", r"line 2 of metadata.csv: file_name .* no image there"),
        ("csv", b"image,kind\ncat/0.png,a\n", r"no column 'file_name': its first line names image, kind; file_name "),
        ("csv", b"file_name,kind\n", r"metadata.csv names no images"),
        ("jsonl", b'\n{"file_name": "cat/0.png", "kind": "\\ud83d"}\n', r"line 2: 'kind' holds .*surrogate"),
        ("jsonl", b'{"file_name": "cat/0.png"}\n', r"line 1: there is no key 'kind', it holds file_name; file_name"),
        ("jsonl", b'\n{"file_name": "cat/0.png", "kind": null}\n', r"line 2 of metadata.jsonl: the label None"),
        ("jsonl", b'{"file_name": null, "kind": "a"}\n', r"line 1 of metadata.jsonl: file_name None is no image"),
        ("parquet", b"PAR1", r"metadata.parquet cannot be read as Parquet"),
    ],
)
def test_what_is_wrong_with_metadata_is_named_by_file_and_line(folder, ending, content, complaint):
    for split in ("train", "test"):
        (folder / split / f"metadata.{ending}").write_bytes(content)
    with pytest.raises(InputError, match=rf"{folder}/train.*{complaint}"):
        fetch_images(settings(folder, label_column="kind"))


def test_a_column_that_metadata_in_parquet_lack_is_named(folder):
    for split in ("train", "test"):
        write_metadata(folder / split / "metadata.parquet", rows_of(folder / split))
    with pytest.raises(InputError, match=r"metadata.parquet has no column 'kind': it has file_name, label; file_name"):
        fetch_images(settings(folder, label_column="kind"))


def test_a_choice_survives_that_the_run_is_opened_again(folder):
    chosen = settings(folder)
    again = ImageDataSettings(**chosen.model_dump(mode="json"))
    write_metadata(folder / "train" / "metadata.csv", rows_of(folder / "train"))
    assert load_images(again, 4, 1).labels == CLASSES


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_metadata_label_the_images_that_lie_in_no_folder(tmp_path, ending):
    for split in ("train", "test"):
        for image in range(4):
            write_image(tmp_path / split / f"{image}.png", image)
        rows = [{"file_name": f"{image}.png", "label": "xy"[image % 2]} for image in range(4)]
        write_metadata(tmp_path / split / f"metadata.{ending}", rows)
    assert labelled(load(tmp_path)) == {0: "x", 1: "y", 2: "x", 3: "y"}


def test_one_folder_beside_metadata_asks_for_a_choice(tmp_path):
    for split in ("train", "test"):
        for image in range(4):
            write_image(tmp_path / split / "pictures" / f"{image}.png", image)
        rows = [{"file_name": f"pictures/{image}.png", "label": image % 2} for image in range(4)]
        write_metadata(tmp_path / split / "metadata.csv", rows)
    with pytest.raises(
        InputError, match=r"one class 'pictures': .*metadata.csv holds the labels, set data.label_column"
    ):
        fetch_images(settings(tmp_path))
    assert load(tmp_path, label_column="label").labels == ("0", "1")


def test_numbers_in_metadata_and_folders_do_not_label_alike(folder):
    flat = folder / "flat"
    for image in range(2):
        write_image(flat / f"{image}.png", image)
    write_metadata(flat / "metadata.csv", [{"file_name": f"{image}.png", "label": image} for image in range(2)])
    for splits in ({"train_split": "flat"}, {"eval_split": "flat"}):
        with pytest.raises(InputError, match="do not label alike"):
            fetch_images(settings(folder, **splits))


def test_images_that_the_metadata_do_not_name_are_told(folder):
    for split in ("train", "test"):
        write_metadata(folder / split / "metadata.csv", rows_of(folder / split)[:4])
    assert load(folder, label_column="label").notes == (
        f"{folder}/train: 2 files (2 .png) not read, {folder}/train/metadata.csv does not name them",
        f"{folder}/test: 2 files (2 .png) not read, {folder}/test/metadata.csv does not name them",
    )


def test_an_image_that_metadata_name_and_is_missing_is_named_by_its_file(folder):
    for split in ("train", "test"):
        write_metadata(folder / split / "metadata.csv", rows_of(folder / split))
    (folder / "train" / "dog" / "1.png").unlink()
    with pytest.raises(InputError, match=r"train, line 5 of metadata.csv: file_name 'dog/1.png' is no image there"):
        fetch_images(settings(folder, label_column="label"))


# One class


def test_a_single_class_folder_is_refused(tmp_path):
    for split in ("train", "test"):
        for image in range(3):
            write_image(tmp_path / split / "cat" / f"{image}.png", image)
    for ask in (fetch_images, lambda asked: load_images(asked, 4, 1)):
        with pytest.raises(InputError, match=r"train holds the one class 'cat': there is nothing to tell apart"):
            ask(settings(tmp_path))


# Files that are not read


def test_files_that_are_not_read_are_counted_by_ending_and_split(folder):
    for number in range(5):
        (folder / "train" / "dog" / f"{number}.HEIC").write_bytes(b"x")
    (folder / "train" / "cat" / "no_ending").write_bytes(b"x")
    (folder / "test" / "README.txt").write_bytes(b"x")
    expected = (
        f"{folder}/train: 6 files (5 .heic, 1 without ending) not read, the ending is of no image format",
        f"{folder}/test: 1 file (1 .txt) not read, the ending is of no image format",
    )
    assert load(folder).notes == expected
    assert fetch_images(settings(folder)).notes == expected


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("ending", "said"), [(".heic", "3 .heic"), ("", "3 without ending")])
def test_a_class_that_loses_all_its_files_is_refused(folder, split, ending, said):
    for number in range(3):
        path = folder / split / "yak" / f"{number}{ending}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    for ask in (fetch_images, lambda asked: load_images(asked, 4, 1)):
        with pytest.raises(InputError, match=rf"{split}/yak holds 3 files \({said}\) and no image .*: convert them"):
            ask(settings(folder))


def test_the_command_ends_with_status_2_where_a_class_loses_all(folder, monkeypatch, capsys):
    for path in (folder / "train" / "emu").iterdir():
        path.rename(path.with_suffix(".heic"))
    for name in ("data", "run"):
        output = f"output={folder.parent / 'run'}"
        assert data_command(monkeypatch, folder, output, name=name) == 2
        assert "train/emu holds 2 files (2 .heic)" in capsys.readouterr().err


def test_a_folder_of_unreadable_files_alone_says_what_it_holds(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.heic").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no images could be read below .*, expected train/CLASS/FILE, found 1 file"):
        fetch_images(settings(tmp_path))


def test_what_operating_systems_leave_is_neither_read_nor_told(folder):
    for residue in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", "dog/._0.png"):
        (folder / "train" / residue).write_bytes(b"x")
    for residue in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints"):
        write_image(folder / "train" / residue / "0.png", 50)
    data = load(folder)
    assert data.notes == ()
    assert labelled(data) == BY_FOLDER


def test_an_empty_class_folder_is_told(folder):
    for split in ("train", "test"):
        (folder / split / "fox").mkdir()
    data = load(folder)
    assert data.labels == CLASSES
    assert data.notes[0] == f"{folder}/train: no image in fox/"


def test_endings_may_be_in_capitals(folder):
    write_image(folder / "train" / "cat" / "2.JPG", 50, format="JPEG")
    data = load(folder)
    assert labelled(data)[50] == "cat"
    assert data.notes == ()


def test_an_image_below_a_class_folder_is_refused(folder):
    # It could belong to the class "cat" or to the class "dog".
    write_image(folder / "train" / "cat" / "dog" / "0.png", 50)
    with pytest.raises(InputError, match=r"outside its class folders \(in train/cat/dog/\): expected train/CLASS/FILE"):
        fetch_images(settings(folder))


def test_an_image_beside_class_folders_and_metadata_names_the_choice(folder):
    write_image(folder / "train" / "stray.png", 50)
    write_metadata(folder / "train" / "metadata.csv", [{"file_name": "stray.png", "label": "cat"}])
    with pytest.raises(
        InputError, match=r"\(in train/\): expected .*metadata.csv holds the labels, set data.label_col"
    ):
        fetch_images(settings(folder))


def test_links_to_folders_and_files_are_followed(folder, tmp_path):
    (folder / "train" / "emu").rename(tmp_path / "elsewhere")
    (folder / "train" / "emu").symlink_to(tmp_path / "elsewhere")
    (folder / "train" / "cat" / "1.png").rename(tmp_path / "one.png")
    (folder / "train" / "cat" / "1.png").symlink_to(tmp_path / "one.png")
    assert labelled(load(folder)) == BY_FOLDER


def test_a_link_that_leads_in_a_circle_ends(folder):
    (folder / "train" / "cat" / "again").symlink_to(folder / "train" / "cat")
    with pytest.raises(InputError, match=r"outside its class folders \(in train/cat/again/\)"):
        fetch_images(settings(folder))


# Images that cannot be decoded


def damaged(path, how):
    whole = path.read_bytes()
    if how == "link":
        path.unlink()
        path.symlink_to("nowhere.png")
    elif how == "16 bits":
        Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(path)
    else:
        path.write_bytes({"empty": b"", "foreign": b"no image", "truncated": whole[:50]}[how])


HOW = ["empty", "foreign", "truncated", "link", "16 bits"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("how", HOW)
def test_an_image_that_cannot_be_decoded_is_named_by_its_file(folder, split, how):
    path = folder / split / "dog" / "1.png"
    damaged(path, how)
    for ask in (fetch_images, lambda asked: load_images(asked, 4, 1)):
        with pytest.raises(InputError) as caught:
            ask(settings(folder))
        assert str(caught.value).startswith(f"{path}: the image cannot be used: ")


def test_all_images_that_cannot_be_decoded_are_counted_and_the_first_named(folder):
    for name in CLASSES:
        for image in range(2):
            damaged(folder / "train" / name / f"{image}.png", "empty")
    with pytest.raises(InputError) as caught:
        fetch_images(settings(folder))
    train = folder / "train"
    others = ", ".join(str(train / name) for name in ("cat/1.png", "dog/0.png", "dog/1.png", "emu/0.png"))
    assert str(caught.value).startswith(f"{train}/cat/0.png: ")
    assert str(caught.value).endswith(f"; 6 in all cannot be used, also {others} and 1 more")


def test_an_image_of_a_large_set_is_named_by_its_file_on_access(folder, monkeypatch):
    damaged(folder / "test" / "cat" / "0.png", "foreign")
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    evaluation = load(folder).evaluation
    with pytest.raises(InputError, match=r"test/cat/0.png: the image cannot be used: Pillow cannot identify"):
        evaluation[0]


def test_the_check_looks_at_the_images_in_use(folder):
    damaged(folder / "test" / "emu" / "1.png", "foreign")
    # The first two of the shuffle with seed 0.
    assert fetch_images(settings(folder, eval_limit=2)).evaluation == 6


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "P", "LA", "1", "RGB"])
def test_other_kinds_of_pixels_are_converted(folder, mode):
    write_image(folder / "train" / "cat" / "2.tif", 0, mode)
    assert fetch_images(settings(folder), 3).train == 7


def test_the_first_picture_of_an_animation_is_taken(folder):
    pictures = [Image.new("L", (4, 4), value) for value in (50, 150)]
    pictures[0].save(folder / "train" / "cat" / "2.gif", save_all=True, append_images=pictures[1:])
    assert 50 in labelled(load(folder))


# What the commands say


@pytest.mark.thorough
def test_data_and_run_tell_what_is_left_out(folder, tmp_path, monkeypatch, capsys):
    (folder / "train" / "cat" / "2.heic").write_bytes(b"x")
    note = f"{folder}/train: 1 file (1 .heic) not read, the ending is of no image format"
    assert data_command(monkeypatch, folder) == 0
    assert f"note: {note}" in capsys.readouterr().out.splitlines()
    assert data_command(monkeypatch, folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]
    for name in ("run", "search"):
        assert (
            data_command(monkeypatch, folder, *QUICK, "search.unsettled=draw", f"output={tmp_path / 'run'}", name=name)
            == 0
        )
        assert f"note: {note}" in capsys.readouterr().err.splitlines()


@pytest.mark.thorough
def test_who_reads_the_results_is_told_what_is_left_out(folder, tmp_path, monkeypatch, capsys):
    (folder / "train" / "cat" / "<b>.heic").write_bytes(b"x")
    (folder / "test" / "cat" / "2.txt").write_bytes(b"x")
    notes = [
        f"{folder}/train: 1 file (1 .heic) not read, the ending is of no image format",
        f"{folder}/test: 1 file (1 .txt) not read, the ending is of no image format",
    ]
    root = tmp_path / "run"
    quick = [*QUICK, "search.unsettled=draw"]
    assert data_command(monkeypatch, folder, *quick, f"output={root}", name="run") == 0
    assert json.loads((root / "summary.json").read_text())["notes"] == notes
    assert all(f"On the data: {note}." in (root / "report.html").read_text() for note in notes)
    capsys.readouterr()
    axes = ["--draw-at", "50%", "--seeds", "1", "--workers", "1", "--output", str(tmp_path / "sweep")]
    assert data_command(monkeypatch, folder, *quick, *axes, name="sweep") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(f"Data: {note}." in told for note in notes)


@pytest.mark.thorough
def test_a_note_of_a_path_that_is_no_utf8_can_be_read(folder, tmp_path, monkeypatch):
    (folder / "train" / b"caf\xe9".decode(errors="surrogateescape")).mkdir()
    arguments = [*QUICK, "search.unsettled=draw", f"output={tmp_path / 'run'}"]
    assert data_command(monkeypatch, folder, *arguments, name="run") == 0
    (note,) = json.loads((tmp_path / "run" / "summary.json").read_text())["notes"]
    assert note.endswith("no image in caf\\udce9/")


def test_data_finds_an_image_that_cannot_be_decoded(folder, monkeypatch, capsys):
    damaged(folder / "test" / "dog" / "1.png", "truncated")
    assert data_command(monkeypatch, folder) == 2
    assert f"{folder}/test/dog/1.png: the image cannot be used" in capsys.readouterr().err


def test_a_run_finds_a_bad_evaluation_image_of_a_large_set_before_it_trains(folder, tmp_path, monkeypatch, capsys):
    damaged(folder / "test" / "dog" / "1.png", "truncated")
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    assert data_command(monkeypatch, folder, *QUICK, f"output={tmp_path / 'run'}", name="run") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"earlybird: {folder}/test/dog/1.png: the image cannot be used")
    assert len(said.splitlines()) == 1


@pytest.mark.thorough
def test_evaluation_images_of_a_large_set_are_decoded_where_a_training_begins_alone(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    arguments = [*QUICK, "search.unsettled=draw", f"output={tmp_path / 'run'}"]
    assert data_command(monkeypatch, folder, *arguments, name="run") == 0
    damaged(folder / "test" / "dog" / "1.png", "truncated")
    capsys.readouterr()
    assert data_command(monkeypatch, folder, *arguments, name="run") == 0
    assert "search: was done before" in capsys.readouterr().err
    assert data_command(monkeypatch, folder, *arguments, "--force", name="run") == 2


def test_an_error_that_names_another_is_told_as_a_whole(folder, tmp_path, monkeypatch, capsys):
    odd = folder.rename(tmp_path / "earlybird.errors.InputError: x")
    damaged(odd / "train" / "cat" / "0.png", "foreign")
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    monkeypatch.setattr(images, "STATISTICS_LIMIT", 4)  # the first is not among them
    source = ["data.format=image-folder", f"data.source={json.dumps(str(odd))}", f"output={tmp_path / 'run'}"]
    small = ["model.image_size=4", "model.patch_size=2", "model.channels=1", *QUICK]
    assert run_command(monkeypatch, "run", "digits", *source, *small) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"earlybird: {odd}/train/cat/0.png: ")


def test_a_bad_image_that_a_worker_process_meets_is_named_in_one_sentence(folder, tmp_path, monkeypatch, capsys):
    damaged(folder / "train" / "cat" / "0.png", "foreign")
    monkeypatch.setattr(images, "DECODED_LIMIT", 0)
    monkeypatch.setattr(images, "STATISTICS_LIMIT", 4)  # the first is not among them
    output = f"output={tmp_path / 'run'}"
    assert data_command(monkeypatch, folder, *QUICK, output, "training.workers=1", name="run") == 2
    expected = f"earlybird: {folder}/train/cat/0.png: the image cannot be used: Pillow cannot identify its format"
    assert capsys.readouterr().err.splitlines()[-1] == expected
