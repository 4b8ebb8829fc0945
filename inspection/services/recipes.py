"""Recipes as an MES names them: `<part number>` or `<part number>/<viewpoint>`, with the model's
revision `model-<number>`."""

import re

from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import ModelVersion, Product, Viewpoint

from . import models

REVISION = re.compile(r"model-(\d{1,9})")


def viewpoint_named(name: str, only: Product | None = None) -> Viewpoint:
    """The viewpoint of a recipe, the main one where none is named. `only`: of this product.
    Raises UserError."""
    code, _, view = name.strip().partition("/")
    found = Viewpoint.objects.filter(product__code__iexact=code, code=view or "main")
    if only is not None:
        found = found.filter(product=only)
    viewpoint = found.select_related("product").first()
    if viewpoint is None:
        raise UserError(
            "unknown_recipe",
            "There is no recipe “{name}” here.",
            name=name[:80],
            field="recipe.name",
        )
    policies.check_in_use(viewpoint.product)
    return viewpoint


def version_named(viewpoint: Viewpoint, revision: str) -> ModelVersion:
    """The model of a revision; of none, the one that judges. It may be any that was promoted
    once. Raises UserError."""
    versions = viewpoint.model_versions.select_related("viewpoint__product")
    if not revision:
        found = versions.filter(state=ModelVersion.State.ACTIVE).first()
    else:
        number = REVISION.fullmatch(revision.strip())
        found = versions.filter(number=int(number[1])).first() if number else None
    if found is None:
        unknown = gettext_noop("Recipe {recipe} has no revision “{revision}”.")
        none = gettext_noop("Recipe {recipe} has no model that judges.")
        raise UserError(
            "unknown_revision",
            unknown if revision else none,
            recipe=viewpoint.recipe_name,
            revision=revision[:40],
            field="recipe.revision",
        )
    if not found.has_judged:
        raise WrongState(
            "never_promoted",
            "{revision} of {recipe} was never promoted; somebody must promote it on its page "
            "first.",
            revision=found.revision,
            recipe=viewpoint.recipe_name,
            field="recipe.revision",
        )
    return found


def activate(name: str, revision: str, *, by: str, only: Product | None = None) -> ModelVersion:
    """Let the model of a recipe judge, as the system; `by` says on whose behalf.

    Only one that judges now or judged before: no machine decides that a new model is good
    enough. Asking for the one that judges changes nothing. Raises UserError.
    """
    version = version_named(viewpoint_named(name, only), revision)
    models.choose(None, version, by=by)
    return version
