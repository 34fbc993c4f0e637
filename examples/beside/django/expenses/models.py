from django.conf import settings
from django.db import models


class Expense(models.Model):
    class Category(models.TextChoices):
        TRAVEL = "travel"
        FOOD = "food"
        OTHER = "other"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    description = models.CharField(max_length=200)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    category = models.CharField(max_length=10, choices=Category.choices, default=Category.OTHER)
    day = models.DateField(null=True, blank=True)
