"""protocol/errors.py, every row. Usage: check_errors.py VECTORS"""

from vector_file import show

from protocol import errors


def main():
    """Run."""
    for code in sorted(errors.TABLE):
        show(code, errors.name(-code), "|", errors.sentence(code), "|", errors.remedy(-code))
    show(99, errors.name(99), "|", errors.sentence(-99), "|", errors.remedy(99))


main()
