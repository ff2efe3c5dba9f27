"""What the headers of DICOM say of an image, and whether there is text in it. Empty for what was added before.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = ("body_part", "laterality", "burnt_in_text")


def upgrade() -> None:
    """Add the columns."""
    for name in _COLUMNS:
        op.add_column("images", sa.Column(name, sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop them."""
    for name in reversed(_COLUMNS):
        op.drop_column("images", name)
