"""The table of slow tests."""

from tests.slow import SLOW_FILES


def test_the_table_names_files_that_are_there_and_each_once():
    assert [file for file in SLOW_FILES if not file.is_file()] == []
    assert len(set(SLOW_FILES)) == len(SLOW_FILES)
