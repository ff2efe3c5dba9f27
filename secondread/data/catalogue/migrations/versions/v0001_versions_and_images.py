"""Versions and their images.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "versions",
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(64), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("preprocessing", sa.JSON(), nullable=False),
        sa.Column("taxonomy", sa.JSON(), nullable=False),
        sa.Column("source_uri", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_versions"),
    )
    op.create_index("ix_versions_parent", "versions", ["parent"])
    words = ("label", "split", "group_id", "patient_id", "modality", "source", "sex")
    op.create_table(
        "images",
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(64), nullable=False),
        sa.Column("pixel_hash", sa.String(64), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in words),
        sa.Column("age", sa.Float(), nullable=True),
        sa.Column("view", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("version", "position", name="pk_images"),
        sa.ForeignKeyConstraint(["version"], ["versions.content_hash"], name="fk_images_version"),
    )
    op.create_index("ix_images_version_label_split", "images", ["version", "label", "split"])
    op.create_index("ix_images_image_id", "images", ["image_id"])
    op.create_index("ix_images_pixel_hash", "images", ["pixel_hash"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("images")
    op.drop_table("versions")
