"""Where each data set comes from: its publisher, its archives with their checksums, size, terms, folder on disk.

Checksums: CUB's as its publisher states it, those of CIFAR, Flowers and Pets as torchvision has them; FGVC-Aircraft's
publisher states none, and ours is what its archive has had in every project that checks it. Sizes are those that the
publishers state; Flowers' training images are the two parts that we train on.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Archive:
    """A file to download."""

    url: str
    """At the publisher's."""
    md5: str
    """Checksum, hexadecimal."""
    unpack: bool = True
    """Whether it is a tar archive, or a file that is kept as it is."""

    @property
    def file_name(self) -> str:
        """The last part of the address, without a query."""
        return self.url.partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True)
class Size:
    """How much the publisher says there is."""

    train: int
    """Training images."""
    test: int
    """Test images."""
    classes: int
    """Classes."""


@dataclass(frozen=True)
class Source:
    """How to get a data set."""

    folder: str
    """What the data root must hold."""
    terms: str
    """A note on its licence, no legal advice."""
    archives: tuple[Archive, ...] = ()
    """All that the publisher serves and we need; none where it has to be got by hand."""
    into: str = ""
    """Folder of the data root that the archives are unpacked in; the root itself if empty."""
    steps: tuple[str, ...] = ()
    """How to get it by hand, where the publisher serves no archive."""
    size: Size | None = None
    """As published; None for images of one's own."""


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/"
_TORONTO = "https://www.cs.toronto.edu/~kriz/"

_AIRCRAFT = Source(
    folder="fgvc-aircraft-2013b",
    terms="Non-commercial research only; the photographers keep their rights (Maji et al., 2013).",
    archives=(
        Archive(f"{_OXFORD}fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz", "d4acdd33327262359767eeaa97a4f732"),
    ),
)

SOURCES = {
    "cub200": Source(
        folder="CUB_200_2011",
        terms="Non-commercial research and education (Wah et al., 2011).",
        archives=(
            Archive(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
                "97eceeb196236b17998738112f37df78",
            ),
        ),
        size=Size(train=5994, test=5794, classes=200),
    ),
    "stanford_cars": Source(
        folder="stanford_cars",
        terms="Non-commercial research (Krause et al., 2013); photographs from the web.",
        steps=(
            "Get car_devkit.tgz, cars_train.tgz, cars_test.tgz and cars_test_annos_withlabels.mat (8,144 + 8,041"
            " images) from a mirror that you trust: ai.stanford.edu/~jkrause/cars/ no longer serves them.",
            "Unpack the three archives in DIR/stanford_cars: they make devkit/, cars_train/ and cars_test/ there.",
            "Put cars_test_annos_withlabels.mat beside them, in DIR/stanford_cars.",
            "dfkd data check stanford_cars --data-root DIR",
        ),
        size=Size(train=8144, test=8041, classes=196),
    ),
    "aircraft_variant": replace(_AIRCRAFT, size=Size(train=6667, test=3333, classes=100)),
    "aircraft_family": replace(_AIRCRAFT, size=Size(train=6667, test=3333, classes=70)),
    "aircraft_manufacturer": replace(_AIRCRAFT, size=Size(train=6667, test=3333, classes=30)),
    "flowers102": Source(
        folder="flowers-102",
        terms="No licence stated; photographs from the web; cite Nilsback and Zisserman, 2008.",
        archives=(
            Archive(f"{_OXFORD}flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
            Archive(f"{_OXFORD}flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", unpack=False),
            Archive(f"{_OXFORD}flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", unpack=False),
        ),
        into="flowers-102",
        size=Size(train=2040, test=6149, classes=102),
    ),
    "pets": Source(
        folder="oxford-iiit-pet",
        terms="Creative Commons Attribution-ShareAlike 4.0 (Parkhi et al., 2012).",
        archives=(
            Archive(f"{_OXFORD}pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
            Archive(f"{_OXFORD}pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
        ),
        into="oxford-iiit-pet",
        size=Size(train=3680, test=3669, classes=37),
    ),
    "cifar10": Source(
        folder="cifar-10-batches-py",
        terms="No licence stated; cite Krizhevsky, 2009.",
        archives=(Archive(f"{_TORONTO}cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
        size=Size(train=50_000, test=10_000, classes=10),
    ),
    "cifar100": Source(
        folder="cifar-100-python",
        terms="No licence stated; cite Krizhevsky, 2009.",
        archives=(Archive(f"{_TORONTO}cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
        size=Size(train=50_000, test=10_000, classes=100),
    ),
    "imagefolder": Source(
        folder="train",
        terms="Your own.",
        steps=(
            "Put each training image in DIR/train/CLASS/ and each test image in DIR/test/CLASS/, one folder per class.",
            "dfkd data check imagefolder --data-root DIR",
        ),
    ),
}
"""By the name used in ``data.dataset``; the bundled digits need none."""


def way_out(name: str) -> str:
    """Return the end of a message that says that data set ``name`` was not found: how to get it."""
    source = SOURCES[name]
    if source.archives:
        return f"Give its place with `--data-root`, or get it: dfkd data download {name} --data-root DIR"
    return f"Give its place with `--data-root`, or get it by hand:\n{by_hand(source)}"


def by_hand(source: Source) -> str:
    """Return the numbered steps of ``source``, one per line."""
    return "\n".join(f"  {number}. {step}" for number, step in enumerate(source.steps, 1))
