"""The catalogue's tables. It holds hashes and public words only: no file name, and no patient id that is not published.

An image has a row for every version that it is in, so that the history of its labels and splits is what the rows say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Float, ForeignKey, Index, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_HASH = String(64)  # SHA-256, hex


class Base(DeclarativeBase):
    """What all tables share: constraints have the same names on every database, so that migrations can find them."""

    metadata = MetaData(
        naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
        | {"fk": "fk_%(table_name)s_%(column_0_N_name)s"}
    )


class Version(Base):
    """One dataset version."""

    __tablename__ = "versions"

    content_hash: Mapped[str] = mapped_column(_HASH, primary_key=True)
    parent: Mapped[str] = mapped_column(_HASH, index=True)  # content hash; empty if none, not always catalogued
    added_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))  # to the catalogue; UTC
    images: Mapped[int] = mapped_column(Integer)
    synthetic: Mapped[bool]
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)  # images by split and class
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JSON)
    taxonomy: Mapped[dict[str, Any]] = mapped_column(JSON)
    source_uri: Mapped[str] = mapped_column(String)  # without credentials; `local` for a path, which may name a person


class Image(Base):
    """One image in one version."""

    __tablename__ = "images"
    __table_args__ = (Index(None, "version", "label", "split"),)

    version: Mapped[str] = mapped_column(_HASH, ForeignKey(Version.content_hash), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)  # row of the manifest
    image_id: Mapped[str] = mapped_column(_HASH, index=True)
    pixel_hash: Mapped[str] = mapped_column(_HASH, index=True)
    label: Mapped[str] = mapped_column(String)
    split: Mapped[str] = mapped_column(String)
    group_id: Mapped[str] = mapped_column(String)
    patient_id: Mapped[str] = mapped_column(String)  # keyed hash, or as published; empty where it is not known
    modality: Mapped[str] = mapped_column(String)
    source: Mapped[str] = mapped_column(String)
    sex: Mapped[str] = mapped_column(String)
    age: Mapped[float | None] = mapped_column(Float)  # years
    view: Mapped[str] = mapped_column(String)
    # of versions that were added before the catalogue had them, and of manifests that lack them, empty: not known
    body_part: Mapped[str] = mapped_column(String, server_default="")
    laterality: Mapped[str] = mapped_column(String, server_default="")
    burnt_in_text: Mapped[str] = mapped_column(String, server_default="")
