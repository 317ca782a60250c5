# Makes the numbers of expected.json. nhefs_complete.csv: the data set of that name in the Python package causaldata.
library(MatchIt)
library(sandwich)
d <- read.csv("nhefs_complete.csv")
for (name in c("education", "exercise", "active")) d[[name]] <- factor(d[[name]])
score <- qsmk ~ sex + race + age + I(age^2) + education + smokeintensity + I(smokeintensity^2) + smokeyrs +
  I(smokeyrs^2) + exercise + active + wt71 + I(wt71^2)
m <- match.data(matchit(score, d, caliper = 0.2, link = "linear.logit"))
fit <- lm(wt82_71 ~ qsmk, m, weights = weights)
se <- sqrt(vcovCL(fit, cluster = ~subclass, type = "HC1", cadjust = TRUE)["qsmk", "qsmk"])
estimate <- coef(fit)[["qsmk"]]
df <- nlevels(m$subclass) - 1
print(c(estimate, se, estimate + c(-1, 1) * qt(0.975, df) * se, 2 * pt(-abs(estimate / se), df)), digits = 17)
