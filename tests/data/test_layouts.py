"""Published sets as they lie on disk: labels, groups and parts are theirs."""

import numpy as np
import pytest
from commands import run
from videos import numbers, write_video

from kvzoo import catalog
from kvzoo.data.hdf5 import Hdf5
from kvzoo.data.npy import Npy
from kvzoo.data.videos import Videos
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_data


def told(source) -> list[tuple]:
    return [(video.name, video.label, video.group) for video in source.videos]


def test_ucf101(tmp_path):
    for name in (
        "Archery/v_Archery_g01_c01",
        "Archery/v_Archery_g01_c02",
        "Archery/v_Archery_g08_c01",
        "Bowling/v_Bowling_g01_c01",
    ):
        write_video(tmp_path / "UCF-101" / f"{name}.avi", 10, codec="mpeg4")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text(
        "Archery/v_Archery_g08_c01.avi 1\nBowling/v_Bowling_g01_c01.avi 2\nBowling/v_Bowling_g02_c01.avi 2\n"
    )
    (lists / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\r\nArchery/v_Archery_g01_c02.avi\r\n")
    given = {"path": str(tmp_path / "UCF-101"), "layout": "ucf101", "lists": str(lists)}
    train = Videos(**given, part="train")
    assert told(train) == [
        ("Archery/v_Archery_g08_c01.avi", "Archery", "Archery_g08"),
        ("Bowling/v_Bowling_g01_c01.avi", "Bowling", "Bowling_g01"),
    ]
    assert [s.reason for s in train.skipped] == ["no such file"]
    assert {group for *_, group in told(Videos(**given, part="test"))} == {"Archery_g01"}
    assert len(Videos(**given).videos) == 4
    with pytest.raises(InputError, match=r"trainlist02\.txt: no such file"):
        Videos(**given, fold=2)
    with pytest.raises(InputError, match="data.lists: required key is missing: the folder of split lists of"):
        Videos(given["path"], layout="ucf101")
    with pytest.raises(InputError, match="use either csv or layout"):
        Videos(**given, csv="x.csv")


def test_hmdb51(tmp_path):
    names = [f"Film{i}_brush_hair_u_nm_np1_ba_goo_{j}.avi" for i, j in ((0, 0), (0, 1), (1, 0))]
    for name in names:
        write_video(tmp_path / "hmdb51" / "brush_hair" / name, 10, codec="mpeg4")
    lists = tmp_path / "splits"
    lists.mkdir()
    (lists / "brush_hair_test_split2.txt").write_text(f"{names[0]} 1 \n{names[1]} 1 \n{names[2]} 2 \n")
    given = {"path": str(tmp_path / "hmdb51"), "layout": "hmdb51", "lists": str(lists), "fold": 2}
    assert told(Videos(**given, part="train")) == [(f"brush_hair/{name}", "brush_hair", "Film0") for name in names[:2]]
    assert told(Videos(**given, part="test")) == [(f"brush_hair/{names[2]}", "brush_hair", "Film1")]
    with pytest.raises(InputError, match=r"no file \*_test_split1\.txt"):
        Videos(**{**given, "fold": 1})
    (lists / "brush_hair_test_split2.txt").write_text(f"{names[0]} x\n")
    with pytest.raises(InputError, match=r"split2\.txt:1: must be a name followed by 0, 1 or 2"):
        Videos(**given)


def test_kinetics(tmp_path):
    write_video(tmp_path / "videos" / "playing chess" / "abc-_12345X_000010_000020.mp4", 12)
    write_video(tmp_path / "videos" / "whole-video.mp4", 50)
    table = tmp_path / "train.csv"
    table.write_text(
        "label,youtube_id,time_start,time_end,split\n"
        "playing chess,abc-_12345X,10,20,train\n"
        "riding a bike,whole-video,1,2,train\n"
        "riding a bike,gone,3,13,train\n"
        "playing chess,abc-_12345X,10,20,validate\n"
    )
    source = Videos(str(tmp_path / "videos"), layout="kinetics", lists=str(table), part="train")
    assert [(v.label, v.group, v.frames) for v in source.videos] == [
        ("playing chess", "abc-_12345X", 12),
        ("riding a bike", "whole-video", 25),
    ]
    assert numbers(source, source.videos[1]) == list(range(25, 50))
    assert [(s.name, s.reason) for s in source.skipped] == [("gone_000003_000013.mp4", "no such file")]
    with pytest.raises(InputError, match="no clip in part 'test'"):
        Videos(str(tmp_path / "videos"), layout="kinetics", lists=str(table), part="test")
    table.write_text("label,id\n")
    with pytest.raises(InputError, match=r"train\.csv:1: no column 'youtube_id'"):
        Videos(str(tmp_path / "videos"), layout="kinetics", lists=str(table))


def test_a_recipe_names_a_layout(tmp_path):
    loss = catalog.LOSSES.get("mse")
    with pytest.raises(InputError, match="ucf101"):
        check_data({"source": "videos", "path": str(tmp_path), "layout": "ucf"}, loss)


@pytest.mark.parametrize(
    ("shape", "axes"), [((20, 30, 8, 8), "tnhw"), ((30, 20, 8, 8), "nthw"), ((30, 20, 8, 8, 3), "nthwc")]
)
def test_moving_mnist(tmp_path, shape, axes):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", array)
    source = Npy(str(tmp_path / "mnist_test_seq.npy"))
    assert source.axes == axes and [v.frames for v in source.videos] == [20] * 30
    assert source.videos[7].name == "mnist_test_seq_07"
    clips = array.swapaxes(0, 1) if axes == "tnhw" else array
    channels = 3 if axes == "nthwc" else 1
    seen = source.read(source.videos[7], [3, 4, 19], 8, channels)
    np.testing.assert_array_equal(seen, clips[7, [3, 4, 19]].reshape(3, 8, 8, channels))


def test_moving_mnist_becomes_a_store(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 8, 8), np.uint8)
    np.save(tmp_path / "a.npy", array)
    run("prepare", tmp_path / "a.npy", "--out", tmp_path / "a.h5", "--size", 8, "--channels", 1)
    store = Hdf5(str(tmp_path / "a.h5"))
    np.testing.assert_array_equal(store.read(store.videos[3], np.arange(20), 8, 1)[..., 0], array[:, 3])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((2, 3, 4, 4)), "Received: float64"),
        (np.zeros((4, 4), np.uint8), r"Received: uint8 \(4, 4\)"),
        (np.zeros((2, 3, 4, 4, 2), np.uint8), "1 or 3"),
        (np.array([{}], object), "not a .npy file"),
        (b"hello", "not a .npy file"),
        (b"", "not a .npy file"),
        (None, "No such file"),
    ],
)
def test_arrays_that_are_refused(tmp_path, content, words):
    if isinstance(content, bytes):
        (tmp_path / "a.npy").write_bytes(content)
    elif content is not None:
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=words):
        Npy(str(tmp_path / "a.npy"))
