"""Recipes as an MES names them: `<part number>` or `<part number>/<viewpoint>`, with the model's
revision `model-<number>`. Submissions and requests of machines read them here, alike."""

import re

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import ModelVersion, Product, Viewpoint

from . import models

REVISION = re.compile(r"model-(\d{1,9})")
MAIN = "main"
LONGEST = 60  # part number


def read_name(views: QuerySet[Viewpoint], name: str) -> Viewpoint | None:
    """The one of `views` that a recipe means, as `_read` reads it; of an archived product only
    where no other is meant: archiving one of two lets the other have the name."""
    return _read(views.filter(product__archived_at=None), name) or _read(views, name)


def _read(views: QuerySet[Viewpoint], name: str) -> Viewpoint | None:
    """In whatever case: what has that for its own `recipe_name`, else the only viewpoint of a
    product with that part number.

    A part number and a viewpoint may hold slashes too, so the name is read at each of them. Raises
    UserError where two have the same name: no guess may choose another part's model.
    """
    own = Q(product__code__iexact=name, code=MAIN)
    for at in (place for place, sign in enumerate(name[: LONGEST + 1]) if sign == "/"):
        own |= Q(product__code__iexact=name[:at], code__iexact=name[at + 1 :])
    found = list(views.filter(own)[:2])
    if not found:
        found = list(views.filter(product__code__iexact=name)[:2])
        return found[0] if len(found) == 1 else None
    if len(found) > 1:
        raise UserError(
            "ambiguous_recipe",
            "Two recipes are called {name}: “{first}” and “{second}”. Give one of the two another "
            "part number.",
            name=name[:80],
            first=found[0],
            second=found[1],
            field="recipe.name",
        )
    return found[0]


def viewpoint_named(name: str, only: Product | None = None) -> Viewpoint:
    """The viewpoint of a recipe, for a machine. `only`: of this product. Raises UserError."""
    views = Viewpoint.objects.select_related("product")
    if only is not None:
        views = views.filter(product=only)
    viewpoint = read_name(views, name.strip())
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
