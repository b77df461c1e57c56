"""What all tests share."""

import os
import shutil
from pathlib import Path

import pytest
from chart import MATRIX, Chart, copy_of_the_chart, values_of


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    return Chart(copy_of_the_chart(tmp_path_factory.mktemp("chart")))


@pytest.fixture(scope="session", params=MATRIX, ids=lambda path: path.stem)
def release(request, chart):
    """The release of each file in values/."""
    return chart.render(values_of(request.param))


@pytest.fixture(scope="session")
def every_release(chart):
    return [chart.render(values_of(path)) for path in MATRIX]


def _executable(variable):
    path = os.environ.get(variable)
    assert path, f"set {variable}: these tests start the real program and do not go without it"
    found = shutil.which(path)
    assert found, f"{variable}: {path} is no executable"
    return Path(found)


@pytest.fixture(scope="session")
def jobwire():
    """The gateway's program."""
    return _executable("JOBWIRE_BIN")


@pytest.fixture(scope="session")
def nats_server_program():
    return _executable("NATS_SERVER")
