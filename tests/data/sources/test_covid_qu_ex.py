"""COVID-QU-Ex, as Kaggle gives it: two parts, each in a folder of its own name."""

from collections.abc import Callable
from pathlib import Path

from secondread.data.sources.open import open_source

LUNG = "Lung Segmentation Data/Lung Segmentation Data"
INFECTION = "Infection Segmentation Data/Infection Segmentation Data"
BIMCV = "sub-S09345_ses-E18242_run-1_bp-chest_vp-ap_cr.png"
LUNG_PATHS = [
    f"{LUNG}/Train/COVID-19/images/covid_1.png",
    f"{LUNG}/Train/COVID-19/images/{BIMCV}",
    f"{LUNG}/Train/COVID-19/lung masks/covid_1.png",
    f"{LUNG}/Val/Non-COVID/images/non_COVID (12).png",
    f"{LUNG}/Test/Normal/images/Normal (3).png",
]
INFECTION_PATHS = [
    f"{INFECTION}/Train/COVID-19/images/covid_1.png",
    f"{INFECTION}/Train/COVID-19/infection masks/covid_1.png",
    f"{INFECTION}/Train/COVID-19/lung masks/covid_1.png",
]


def test_the_rows_are_those_of_the_lung_data(plant: Callable[..., Path], rows_of: Callable[..., list[object]]) -> None:
    root = plant("download", LUNG_PATHS + INFECTION_PATHS)
    known = {"patient_id": "bimcv-S09345", "study_id": "bimcv-E18242", "site": "bimcv", "view": "AP"}
    assert rows_of(open_source(str(root))) == [
        (f"{LUNG}/Train/COVID-19/images/covid_1.png", "cxr-covid", {"original_split": "train"}),
        (f"{LUNG}/Train/COVID-19/images/{BIMCV}", "cxr-covid", known | {"original_split": "train"}),
        (f"{LUNG}/Val/Non-COVID/images/non_COVID (12).png", "cxr-pneumonia", {"original_split": "val"}),
        (f"{LUNG}/Test/Normal/images/Normal (3).png", "cxr-normal", {"original_split": "test"}),
    ]


def test_the_infection_data_are_read_where_they_are_alone(
    plant: Callable[..., Path], rows_of: Callable[..., list[object]]
) -> None:
    root = plant("download", INFECTION_PATHS)
    assert rows_of(open_source(f"covid-qu-ex:{root}")) == [
        (f"{INFECTION}/Train/COVID-19/images/covid_1.png", "cxr-covid", {"original_split": "train"})
    ]
