.PHONY: format lint type test slow check

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .

type:
	mypy

test:
	python -m pytest

slow:
	python -m pytest -m slow -n 2

check: lint type test
