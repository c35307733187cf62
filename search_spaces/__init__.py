"""Grids, search spaces, budgets, data set settings and teachers' recipes as TOML files, and their loaders."""

from search_spaces.domains import Choices as Choices
from search_spaces.domains import Condition as Condition
from search_spaces.domains import Parameter as Parameter
from search_spaces.domains import Range as Range
from search_spaces.grid import Grid as Grid
from search_spaces.grid import GridFile as GridFile
from search_spaces.loader import Preset as Preset
from search_spaces.loader import SpaceError as SpaceError
from search_spaces.loader import available as available
from search_spaces.loader import line_of as line_of
from search_spaces.loader import load_budget as load_budget
from search_spaces.loader import load_dataset as load_dataset
from search_spaces.loader import load_method as load_method
from search_spaces.loader import place as place
from search_spaces.reading import load_grid as load_grid
from search_spaces.recipes import RECIPES as RECIPES
from search_spaces.recipes import Recipe as Recipe
from search_spaces.recipes import load_recipes as load_recipes
from search_spaces.recipes import teacher_recipe as teacher_recipe
from search_spaces.rows import COLUMN_KEYS as COLUMN_KEYS
from search_spaces.rows import Row as Row
from search_spaces.space import Space as Space
from search_spaces.space import load_space as load_space
