"""The page on finished runs: what is on it, that it loads nothing, and what is refused."""

import json
import shutil

import pytest

import report
import train
from cli import run_main
from html_pages import images, read
from pages.metatest import metatest_table
from paper import paper_curves
from presets import PRESETS
from run_directory import RunDirectory

SECTIONS = [
    "Configuration", "Training", "Meta-test", "Latent space",
    "Exploration before and after adaptation", "An adapted episode", "Speed", "Versions",
]  # fmt: skip


def edit(file, change) -> None:
    """Changes what a JSON file holds."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def as_seed(run_dir, seed: int) -> None:
    """Makes a copy of a run that of another seed."""
    edit(run_dir / "config.json", lambda c: (c["config"].update(seed=seed), c.update(run_id="x")))
    edit(run_dir / "metatest.json", lambda r: r.update(seed=seed))


@pytest.fixture
def page_of():
    """Writes a page and reads it."""

    def write(*flags, out):
        assert run_main(report.main, [*map(str, flags)]) == 0
        return read(out)

    return write


def test_a_page_has_everything_that_a_run_has_left(finished, snapshot, page_of, capfd):
    before, out = snapshot(finished), finished / "report.html"
    capfd.readouterr()
    page = page_of(finished, out=out)
    assert capfd.readouterr().out.split() == [str(out)]
    after = snapshot(finished)
    assert after.pop(out.relative_to(finished))
    assert after == before
    assert page.texts["h3"] == SECTIONS
    metatest = json.loads((finished / "metatest.json").read_text())
    assert f"{metatest['return']['mean'][2]:.1f} (" in page.text
    assert "train.num_iterations" in page.text
    versions = json.loads((finished / "versions.json").read_text())[0]
    assert versions["versions"]["jax"] in page.texts["td"]
    assert versions["devices"] in page.texts["td"]
    assert "μ₁" in page.texts["th"]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"] for link in page.all("a")} == {f"#{name}" for name in ids}


def test_a_page_loads_nothing_and_its_pictures_are_described(finished, page_of):
    page = page_of(finished, out=finished / "report.html")
    assert all(address.startswith("data:") for address in page.loaded)
    assert page.all("script") == []
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in page.texts["style"][0]
    assert "@import" not in page.texts["style"][0]
    shown = images(page)
    assert {image.format for image in shown} == {"PNG", "GIF"}
    pictures = page.all("img")
    assert len(pictures) == 5, "training, meta-test, latents, exploration, episode"
    assert all(len(picture["alt"] or "") > 20 for picture in pictures)
    assert all(min(image.size) > 100 for image in shown)


@pytest.mark.parametrize(
    ("preset", "head", "cells"),
    [
        ("push-maesn", "MAESN, paper", ["-397.0", "-323.5", "-440.0"]),
        ("push-latent-space", "LatentSpace, paper", ["-402.0", "–", "-440.0"]),
    ],
)
def test_the_papers_numbers_stand_beside_those_of_its_suites(finished, preset, head, cells):
    run = RunDirectory.open(finished)
    scored = json.loads((finished / "metatest.json").read_text())
    ours = metatest_table(run, [scored], paper_curves(run.config.env.name))
    assert ours.head == ["iteration", "return", "success"], "the paper has no point robot"
    as_on_push = RunDirectory(finished, PRESETS[preset], "id")
    beside = metatest_table(as_on_push, [scored], paper_curves("push"))
    assert beside.head == [*ours.head, head]
    rows = {row[0]: row for row in beside.rows}
    assert [rows[i][-1] for i in ("0", "1", "doing nothing")] == cells
    assert [row[:-1] for row in beside.rows] == [list(row) for row in ours.rows]


def test_what_differs_from_the_preset_comes_first(finished, page_of):
    page = page_of(finished, out=finished / "report.html")
    first, second, *_ = page.texts["caption"]
    assert first == "What differs from the preset point-maesn"
    assert second == "Every field"
    heads = page.texts["th"]
    assert heads.index("meta.num_episodes") < heads.index("meta.estimator")


def test_a_run_that_recorded_no_versions(finished, page_of):
    (finished / "versions.json").unlink()
    assert "unknown" in page_of(finished, out=finished / "report.html").text


def test_what_was_not_drawn_is_said(finished, page_of):
    (finished / "episode.gif").unlink()
    page = page_of(finished, out=finished / "report.html")
    assert "episode.gif was not drawn." in page.text
    assert len(page.all("img")) == 4


def test_whatever_comes_from_files_is_escaped(finished, tmp_path, page_of):
    """The name of a directory, a setting, a commit."""
    bad = "<script>alert(1)<img src=x onerror=alert(2)>"
    run = finished.rename(tmp_path / f"{bad}$x$")
    edit(run / "config.json", lambda c: c["config"]["wandb"].update(name=f"</td>{bad}"))
    edit(run / "config.json", lambda c: c.update(run_id=f'">{bad}'))
    edit(run / "versions.json", lambda entries: entries[0].update(commit=bad))
    page = page_of(run, out=run / "report.html")
    assert page.all("script") == []
    assert page.text.count("<script>alert(1)") >= 5
    assert len(page.all("img")) == 5
    second = shutil.copytree(run, tmp_path / "_$x^$")
    together = page_of(run, second, f"--out={tmp_path / 'both.html'}", out=tmp_path / "both.html")
    assert together.all("script") == []
    assert "_$x^$ (1 seed)" in together.texts["th"]


def test_a_page_takes_the_place_of_its_like_only(finished, tmp_path, page_of, refused):
    out = tmp_path / "new" / "page.html"
    page_of(finished, f"--out={out}", out=out)
    out.write_text(out.read_text() + "<!-- an older one -->")
    page_of(finished, f"--out={out}", out=out)
    assert "an older one" not in out.read_text()
    other = shutil.copytree(finished, tmp_path / "other")
    as_seed(other, 1)
    refused(report.main, [other, f"--out={out}"], "out: ", out)
    (finished / "report.html").write_text("mine")
    refused(report.main, [finished], "out: ", finished / "report.html")
    (tmp_path / "link.html").symlink_to(out)
    refused(report.main, [finished, f"--out={tmp_path / 'link.html'}"], "out: ", "link.html")


@pytest.mark.slow
def test_runs_of_further_seeds_are_one_curve(finished, tmp_path, page_of):
    other, out = shutil.copytree(finished, tmp_path / "other"), tmp_path / "out.html"
    as_seed(other, 1)
    page = page_of(finished, other, f"--out={out}", out=out)
    assert page.texts["h2"] == ["Comparison", "finished", "other"]
    assert page.texts["h3"] == ["Meta-test", *SECTIONS, *SECTIONS]
    assert "point-maesn (2 seeds)" in page.texts["th"]
    edit(other / "config.json", lambda c: c["config"]["meta"].update(discount=0.5))
    edit(other / "metatest.json", lambda r: r.update(settings_id="another"))
    page = page_of(finished, other, f"--out={out}", out=out)
    assert {"finished (1 seed)", "other (1 seed)"} <= set(page.texts["th"])


@pytest.mark.slow
def test_the_seeds_of_a_run_are_on_one_page(tiny, tmp_path, page_of):
    run = tmp_path / "two"
    flags = [*tiny, "--train.num-iterations=3", "--num-seeds=2", f"--run-dir={run}"]
    assert run_main(train.main, flags) == 0
    page = page_of(run, out=run / "report.html")
    assert page.texts["h3"] == SECTIONS
    assert page.texts["figcaption"] == 3 * ["seed 0", "seed 1"], "nothing was drawn of episodes"
    assert {"seed 0", "seed 1"} <= set(page.texts["th"])
    assert "exploration.png was not drawn (seed 1)." in page.text


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ["run_dirs"]),
        (["nowhere"], ["nowhere"]),
        (["RUN", "nowhere"], ["nowhere"]),
        (["RUN", "RUN"], ["run_dirs: ", "twice"]),
        (["RUN", "--out=a.png"], ["out: ", ".html"]),
        (["RUN", "--out=there.html"], ["out: there.html", "exists"]),
        (["RUN", "--out=folder.html"], ["out: folder.html", "directory"]),
    ],
)
def test_wrong_flags(refused, finished, tmp_path, flags, names):
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    refused(report.main, [flag.replace("RUN", str(finished)) for flag in flags], *names)


def test_runs_that_are_not_finished(refused, finished):
    (finished / "metatest.json").unlink()
    refused(report.main, [finished], "run_dirs: ", finished, "metatest.json", "--resume")
    edit(finished / "config.json", lambda c: c["config"]["train"].update(num_iterations=9))
    refused(report.main, [finished], "run_dirs: ", finished, "6 of 9", "--resume")


def test_a_run_whose_checkpoint_is_missing_has_no_page(finished, capfd):
    shutil.rmtree(finished / "checkpoints")
    assert run_main(report.main, [str(finished)]) == 2
    assert str(finished / "checkpoints") in capfd.readouterr().err.splitlines()[-1]
    assert not (finished / "report.html").exists()


def test_a_page_on_skills(skilled, tmp_path, page_of):
    page = page_of(skilled, out=skilled / "report.html")
    assert page.texts["h3"] == ["Configuration", "Training", "Skills", "Speed", "Versions"]
    assert {"37.2", "90%", "-322.5 (-345.2 .. -299.4)", "64% (55 .. 73)"} <= set(page.texts["td"])
    assert {"4,000,000", "4,000", "0:16:50"} <= set(page.texts["td"])
    assert "10.0 s" in page.texts["td"], "of 12.5 s the first iteration took 2.5"
    assert len(page.all("img")) == 3
    assert images(page)
    again, out = shutil.copytree(skilled, tmp_path / "again"), tmp_path / "out.html"
    page = page_of(skilled, again, f"--out={out}", out=out)
    assert page.texts["h2"] == ["Comparison", "skilled", "again"]
    assert page.texts["th"][:3] == ["skilled, seed 0", "again, seed 0", "skills"]


def test_skills_that_are_not_finished(refused, skilled):
    (skilled / "skills.json").unlink()
    refused(report.main, [skilled], "run_dirs: ", skilled, "skills.json")


def test_runs_of_two_kinds(refused, finished, skilled):
    refused(report.main, [finished, skilled], "run_dirs: ", "make skills", "make train")
